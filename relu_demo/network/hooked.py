"""
What forward hooks are given: they may read, or keep, what a call overwrites.

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

from relu_demo.network.outcome import Leaves
from relu_demo.network.state.walk import tensors
from relu_demo.sanitizer.frames import code_of, hook_name
from relu_demo.sanitizer.ledger import Ledger, RegionUses
from relu_demo.sanitizer.place import Place, PlaceKind
from relu_demo.sanitizer.source import is_what_runs, statement_at
from relu_demo.tensors.storage import (
    Geometry,
    geometry_of,
    is_freed,
    is_gone,
    is_strided,
    key_of,
    region_of,
    values_now,
    weak_ref,
)

Event = Callable[[nn.Module, dict[int, Any], Any], None]
"""Is told of a module, of its hooks that are about to be called, and of what they are given."""

Number = tuple[int, int]
"""Of a tensor that hooks are given: that of the event, and of the tensor in it."""


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
    """Follows which hooks are given what. `path_of` names a module; `ledger` knows who reads a tensor."""

    def __init__(self, path_of: Callable[[nn.Module], str], ledger: Ledger) -> None:
        self._path_of = path_of
        self._ledger = ledger
        self.switched_on: dict[str, str] = {}
        """Path and class of each module that ran with `inplace=True`."""
        self._holders: dict[int, tuple[StorageWeakRef, dict[Place, None]]] = {}
        self._given: list[tuple[Number, set[str], RegionUses, StorageWeakRef, Geometry | None]] = []
        """Each tensor that hooks were given, their names, who reads it afterwards, and where it lies."""
        self._events = 0

    def holding(self, key: int | None) -> tuple[Place, ...]:
        """Return the lines of the hooks that were given a storage, which is still alive; none if none was."""
        ref, places = self._holders.get(-1 if key is None else key, (None, {}))
        return () if ref is None or is_gone(ref) else tuple(places)

    def alive(self, is_known: Callable[[int], bool]) -> dict[Number, tuple[StorageWeakRef, Geometry | None]]:
        """
        Return what hooks were given and what is alive, once the result and its graph are freed: storage and geometry.

        `is_known`: whether somebody else has a storage.
        """

        def find() -> dict[Number, tuple[StorageWeakRef, Geometry | None]]:
            return {n: (ref, at) for n, _, _, ref, at in self._given if not (is_gone(ref) or is_known(ref.cdata))}

        if find():
            gc.collect()
        return find()

    @property
    def read(self) -> frozenset[Number]:
        """Return which tensors the hooks that were given them have read."""
        return frozenset(n for n, hooks, then, *_ in self._given if any(at.hook in hooks for at in then.readers))

    def event(self, module: nn.Module, hooks: dict[int, Any], values: Any) -> None:
        """Note what the hooks of a module are given."""
        if hooks is module._forward_pre_hooks and getattr(module, "inplace", False) is True:
            self.switched_on[self._path_of(module)] = type(module).__name__
        if not hooks:
            return
        self._events += 1
        places = dict.fromkeys(self._place(module, hook) for hook in hooks.values())
        for number, tensor in enumerate(tensors(values)):
            key = key_of(tensor)
            if key is None:
                continue
            known = self._holders.get(key)
            if known is None or is_gone(known[0]):
                known = self._holders[key] = weak_ref(tensor), {}
            known[1].update(places)
            if is_strided(tensor):
                followed = self._ledger.follow(tensor, region_of(tensor))
                names = {hook_name(hook) for hook in hooks.values()}
                self._given.append(((self._events, number), names, followed, weak_ref(tensor), geometry_of(tensor)))

    def _place(self, module: nn.Module, hook: Any) -> Place:
        code = code_of(hook)
        file = None if code is None else code.co_filename
        line = None if code is None else _keeping_line(code) or code.co_firstlineno
        return Place("kept", self._path_of(module), file, line, hook_name(hook), kind=PlaceKind.KEPT)


def _keeping_line(code: CodeType) -> int | None:
    """Return the line of a hook that puts its output somewhere: `KEPT[...] = output`, `kept.append(output)`."""
    output = code.co_varnames[code.co_argcount - 1] if code.co_argcount else ""
    is_what_runs(code)
    definition = statement_at(code.co_filename, code.co_firstlineno)
    for part in () if definition is None else ast.walk(definition):
        if isinstance(part, (ast.Assign, ast.Expr)) and not isinstance(getattr(part, "value", None), ast.Constant):
            to_name = isinstance(part, ast.Assign) and all(isinstance(target, ast.Name) for target in part.targets)
            if not to_name and any(isinstance(n, ast.Name) and n.id == output for n in ast.walk(part.value)):
                return part.lineno
    return None


@dataclass(frozen=True)
class Kept:
    """What a hook keeps of a tensor that it was given: these elements, or all. `by`: the lines of the hooks."""

    elements: Tensor | None
    by: tuple[Place, ...]


@dataclass
class Reading:
    """Records in one run what hooks see. `read` and `kept`: the tensors that they are known to read, and to keep."""

    read: Collection[Number]
    kept: Mapping[Number, Kept]
    _copies: Leaves = field(default_factory=list)
    _kept: list[tuple[Number, Tensor]] = field(default_factory=list)
    _events: int = 0

    def event(self, module: nn.Module, hooks: dict[int, Any], values: Any) -> None:
        """Note what the hooks of a module are given, where one reads or keeps it."""
        if hooks:
            self._events += 1
            for i, tensor in enumerate(tensors(values)):
                number = self._events, i
                if number in self.read:
                    self._copies.append((f"read {number}", tensor.detach().clone()))
                if number in self.kept:
                    self._kept.append((number, tensor.detach()))

    def seen(self) -> Leaves:
        """Return copies of it: of what is kept those elements, as the forward has left them."""
        return [*self._copies, *((f"kept {n}", part_of(tensor, self.kept[n].elements)) for n, tensor in self._kept)]


def part_of(tensor: Tensor, elements: Tensor | None) -> Tensor:
    """Return a copy of some elements of a tensor; of all if it has another shape in this run, or has no values."""
    if elements is None or elements.shape != tensor.shape or is_freed(tensor) or tensor.device.type == "meta":
        return values_now(tensor)
    return tensor[elements.to(tensor.device)]
