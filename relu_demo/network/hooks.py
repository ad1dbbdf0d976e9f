"""What forward hooks are given: they may read, or keep, what a call overwrites.

A `Hooked` listens in the watched pass, and knows afterwards who reads and who may keep what. A `Reading` records in
each real run what the hooks read there.
"""

from __future__ import annotations

import ast
import gc
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from relu_demo.network.state.walk import tensors
from relu_demo.sanitizer.frames import code_of, hook_name
from relu_demo.sanitizer.ledger import Ledger, RegionUses
from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import is_what_runs, statement_at
from relu_demo.tensors.storage import (
    Geometry,
    elements_at,
    geometry_of,
    is_freed,
    is_gone,
    is_strided,
    key_of,
    region_of,
    values_now,
)

_OWN_REFERRERS = 2
"""Who refers to a tensor while it is looked for: the list of what was found, and the frame."""

Event = Callable[[nn.Module, dict[int, Any], Any], None]
"""Is told of a module, of its hooks that are about to be called, and of what they are given."""

Number = tuple[str, int, int]
"""Of a tensor that hooks are given: "hook", event, and place there. Of the input of a call: "call", its index, 0."""


@contextmanager
def told_of_modules(event: Event) -> Iterator[None]:
    """Inside the block, call `event` before each module's forward pre-hooks, and before its forward hooks."""
    handles = (
        register_module_forward_pre_hook(lambda module, args: event(module, module._forward_pre_hooks, args)),
        register_module_forward_hook(lambda module, args, out: event(module, module._forward_hooks, (args, out))),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Hooked:
    """Follows which hooks are given what, and which tensors outlive the forward.

    `path_of` names a module; `ledger` knows who reads a tensor.
    """

    def __init__(self, path_of: Callable[[nn.Module], str], ledger: Ledger) -> None:
        self._path_of = path_of
        self._ledger = ledger
        self.switched_on: dict[str, str] = {}
        """Path and class of each module that ran with `inplace=True`."""
        self._holders: dict[int, dict[Place, None]] = {}
        """The hooks that were given a storage, by its key, which the ledger keeps its own."""
        self._given: dict[Number, tuple[StorageWeakRef, Geometry | None]] = {}
        self._reads: list[tuple[Number, set[str], RegionUses]] = []
        """Each tensor that hooks were given, their names, and who reads it afterwards."""
        self._events = 0

    def given(self, number: Number, tensor: Tensor) -> None:
        """Note a tensor that somebody may keep."""
        page = self._ledger.open(tensor)
        if page is not None:
            self._given[number] = page.storage, geometry_of(tensor)

    def alive(self, is_known: Callable[[int], bool]) -> dict[Number, tuple[StorageWeakRef, Geometry | None]]:
        """Return which noted tensors are alive. `is_known` says whether the network or an input has a storage."""

        def find() -> dict[Number, tuple[StorageWeakRef, Geometry | None]]:
            found = self._given.items()
            return {n: (ref, at) for n, (ref, at) in found if not (is_gone(ref) or is_known(ref.cdata))}

        if find():
            gc.collect()
        return find()

    def kept(self, is_known: Callable[[int], bool]) -> dict[Number, Kept]:
        """Return which noted tensors something else keeps. Call after the result and its graph are freed."""
        alive = self.alive(is_known)
        holders: dict[int | None, list[Geometry | None]] = {}
        for tensor in _tensors_of({ref.cdata for ref, _ in alive.values()}) if alive else ():
            if tensor.device.type != "meta":  # which may be larger than the memory is
                holders.setdefault(key_of(tensor), []).append(geometry_of(tensor))
        kept = {}
        for number, (ref, geometry) in alive.items():
            # Where no tensor of Python's is found, compiled code may hold the memory: all of it.
            elements = elements_at(geometry, holders.get(ref.cdata, []))
            if elements is None or bool(elements.any()):
                kept[number] = Kept(elements, tuple(self._holders.get(ref.cdata, ())))
        return kept

    @property
    def read(self) -> frozenset[Number]:
        """Return which tensors the hooks that were given them have read."""
        return frozenset(n for n, hooks, then in self._reads if any(at.hook in hooks for at in then.readers))

    def event(self, module: nn.Module, hooks: dict[int, Any], values: Any) -> None:
        """Note what the hooks of a module are given."""
        if getattr(module, "inplace", False) is True:
            self.switched_on[self._path_of(module)] = type(module).__name__
        if not hooks:
            return
        self._events += 1
        places = dict.fromkeys(self._place(module, hook) for hook in hooks.values())
        for number, tensor in enumerate(tensors(values)):
            page = self._ledger.open(tensor)
            if page is None:
                continue
            self._holders.setdefault(page.storage.cdata, {}).update(places)
            if is_strided(tensor):
                followed = self._ledger.follow(tensor, region_of(tensor))
                names = {hook_name(hook) for hook in hooks.values()}
                self._reads.append((("hook", self._events, number), names, followed))
                self.given(("hook", self._events, number), tensor)

    def _place(self, module: nn.Module, hook: Any) -> Place:
        code = code_of(hook)
        file = None if code is None else code.co_filename
        line = None if code is None else _keeping_line(code) or code.co_firstlineno
        return Place("kept", self._path_of(module), file, line, hook_name(hook), is_kept=True)


def _keeping_line(code: CodeType) -> int | None:
    """Return the line of a hook that puts its output somewhere: `KEPT[...] = output`, `kept.append(output)`."""
    output = code.co_varnames[code.co_argcount - 1] if code.co_argcount else ""
    is_what_runs(code)
    definition = statement_at(code.co_filename, code.co_firstlineno)
    for part in () if definition is None else ast.walk(definition):
        if isinstance(part, (ast.Assign, ast.Expr)):
            to_name = isinstance(part, ast.Assign) and all(isinstance(target, ast.Name) for target in part.targets)
            if not to_name and any(isinstance(n, ast.Name) and n.id == output for n in ast.walk(part.value)):
                return part.lineno
    return None


def _tensors_of(keys: set[int]) -> Iterator[Tensor]:
    """Yield each tensor that Python knows and that has one of these storages."""
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor) and key_of(thing) in keys]
    bases = {id(tensor._base) for tensor in found if tensor._base is not None}
    for tensor in found:
        # A view keeps its base alive, and that is in nobody's hands; the list and this frame refer to each.
        if id(tensor) not in bases or len(gc.get_referrers(tensor)) > _OWN_REFERRERS:
            yield tensor


@dataclass(frozen=True)
class Kept:
    """What is kept of a tensor: these elements, or all. `by`: the lines of the hooks that were given it."""

    elements: Tensor | None
    by: tuple[Place, ...]


@dataclass
class Reading:
    """Records in one run what hooks see. `read` and `kept`: the tensors that they are known to read, and to keep."""

    read: Collection[Number]
    kept: Mapping[Number, Kept]
    _copies: dict[Number, Tensor] = field(default_factory=dict)
    _kept: dict[Number, Tensor] = field(default_factory=dict)
    _events: int = 0

    def event(self, module: nn.Module, hooks: dict[int, Any], values: Any) -> None:
        """Note what the hooks of a module are given, where one reads or keeps it."""
        if hooks:
            self._events += 1
            for i, tensor in enumerate(tensors(values)):
                if ("hook", self._events, i) in self.read:
                    self._copies["read", self._events, i] = tensor.detach().clone()
                self.given(("hook", self._events, i), tensor)

    def given(self, number: Number, tensor: Tensor) -> None:
        """Note a tensor that is kept."""
        if number in self.kept:
            self._kept[number] = tensor.detach()

    def seen(self) -> dict[Number, Tensor]:
        """Return copies of it: of what is kept those elements, as the forward has left them."""
        return self._copies | {n: _part_of(tensor, self.kept[n].elements) for n, tensor in self._kept.items()}


def _part_of(tensor: Tensor, elements: Tensor | None) -> Tensor:
    """Return a copy of some elements of a tensor; of all if its shape is another in this run, or it has no values."""
    if elements is None or elements.shape != tensor.shape or is_freed(tensor) or tensor.device.type == "meta":
        return values_now(tensor)
    return tensor[elements.to(tensor.device)]
