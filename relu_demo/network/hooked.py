"""
What forward hooks are given, and what of that they keep: they may see what a call overwrites.

A `Hooked` listens in the watched pass, and knows afterwards what is kept. A `Seeing` records in each real run what the
hooks see there, and what has become of what they keep.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from relu_demo.network.outcome import Leaves
from relu_demo.network.state.walk import tensors
from relu_demo.sanitizer.hooks import code_of, keeping_line, name_of
from relu_demo.sanitizer.ledger import Followed, Ledger
from relu_demo.sanitizer.place import Place
from relu_demo.tensors.storage import Region, is_gone, is_strided, key_of, region_of, weak_ref

Event = Callable[[nn.Module, dict[int, Any], Any], None]
"""Is told of a module, of its hooks that are about to be called, and of what they are given."""


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


def has_hooks(module: nn.Module) -> bool:
    """Return whether a module has forward hooks of its own."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _elements_of(kept: Tensor, given: _Given) -> Tensor | None:
    """Return which elements of what a hook was given it keeps, as numbers; None if it keeps others of the storage."""
    start = int(kept.storage_offset()) - given.offset
    regions = [region for region in (region_of(kept), given.region) if region is not None]
    if start < 0 or len(regions) < 2:
        return None
    length = max(region.end for region in regions) // kept.element_size() + 1 - given.offset
    numbers = torch.full((length,), -1)
    of_given = torch.arange(math.prod(given.shape)).reshape(given.shape)
    for dim, stride in enumerate(given.stride):
        if stride == 0:  # expanded: all of that dimension is one element in memory
            of_given = of_given.narrow(dim, 0, 1)
    numbers.as_strided(of_given.shape, given.stride, 0).copy_(of_given)
    found = numbers.as_strided(kept.shape, kept.stride(), start).clone()
    return None if bool((found < 0).any()) else found


_OWN_REFERRERS = 2
"""Who refers to a tensor while it is looked for: the list of what was found, and the frame."""

Number = tuple[int, int]
"""Of a tensor that hooks are given: that of the event, and of the tensor in it."""


@dataclass(frozen=True)
class Looks:
    """What hooks look at."""

    read: frozenset[Number]
    kept: dict[Number, list[Tensor]]
    """Which elements of a tensor, by their numbers in it."""


@dataclass
class _Given:
    number: Number
    storage: StorageWeakRef
    key: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dtype: Any
    region: Region | None
    hooks: set[str]
    followed: Followed


class Hooked:
    """Follows which hooks are given what. `path_of` names a module; `ledger` knows who reads a tensor."""

    def __init__(self, path_of: Callable[[nn.Module], str], ledger: Ledger) -> None:
        self._path_of = path_of
        self._ledger = ledger
        self.switched_on: dict[str, str] = {}
        """Path and class of each module that ran with `inplace=True`."""
        self._holders: dict[int, tuple[StorageWeakRef, dict[Place, None]]] = {}
        self._given: list[_Given] = []
        self._events = 0

    def holding(self, key: int | None) -> tuple[Place, ...]:
        """Return the lines of the hooks that were given a storage, which is still alive; none if none was."""
        ref, places = self._holders.get(-1 if key is None else key, (None, {}))
        return () if ref is None or is_gone(ref) else tuple(places)

    def looks(self, is_known: Callable[[int | None], bool]) -> Looks:
        """
        Return what hooks have read, and what they keep; the result and its graph must be gone by now.

        `is_known`: whether a storage, by its key, is the network's or an input's.
        """
        read = {given.number for given in self._given if any(at.hook in given.hooks for at in given.followed.readers)}
        alive = [given for given in self._given if not is_gone(given.storage) and not is_known(given.key)]
        kept: dict[Number, list[Tensor]] = {}
        for tensor in tensors_of({given.key for given in alive}) if alive else ():
            for given in alive:
                if given.key == key_of(tensor) and given.dtype == tensor.dtype and is_strided(tensor):
                    elements = _elements_of(tensor, given)
                    kept.setdefault(given.number, []).extend([] if elements is None else [elements])
        return Looks(frozenset(read), kept)

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
                self._given.append(
                    _Given(
                        (self._events, number),
                        known[0],
                        key,
                        tuple(tensor.shape),
                        tuple(tensor.stride()),
                        int(tensor.storage_offset()),
                        tensor.dtype,
                        region_of(tensor),
                        {name_of(hook) for hook in hooks.values()},
                        self._ledger.follow(tensor, region_of(tensor)),
                    )
                )

    def _place(self, module: nn.Module, hook: Any) -> Place:
        code = code_of(hook)
        if code is None:
            return Place("kept", self._path_of(module), hook=name_of(hook))
        line = keeping_line(code) or code.co_firstlineno
        return Place("kept", self._path_of(module), code.co_filename, line, name_of(hook))


@dataclass
class Seeing:
    """Records in one run what hooks look at."""

    looks: Looks
    seen: Leaves = field(default_factory=list)
    """Copies: of what hooks read, and at last of what they keep."""
    _events: int = 0
    _kept: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def event(self, module: nn.Module, hooks: dict[int, Any], values: Any) -> None:
        """Note what the hooks of a module are given."""
        if not hooks:
            return
        self._events += 1
        for i, tensor in enumerate(tensors(values)):
            number = self._events, i
            if number in self.looks.read:
                self.seen.append((f"read {number}", tensor.detach().clone()))
            self._kept += [(tensor.detach(), elements) for elements in self.looks.kept.get(number, ())]

    def end(self) -> None:
        """Copy what is kept, as the forward has left it."""
        for i, (tensor, elements) in enumerate(self._kept):
            self.seen.append((f"kept {i}", tensor.reshape(-1)[elements.to(tensor.device)]))
        self._kept.clear()


def tensors_of(keys: Iterable[int | None]) -> Iterator[Tensor]:
    """Yield each tensor that Python knows and that has one of these storages."""
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor) and key_of(thing) in keys]
    bases = {id(tensor._base) for tensor in found if tensor._base is not None}
    for tensor in found:
        # A view keeps its base alive, and that is in nobody's hands; the list and this frame refer to each.
        if id(tensor) not in bases or len(gc.get_referrers(tensor)) > _OWN_REFERRERS:
            yield tensor
