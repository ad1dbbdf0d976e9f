"""What is in the values that a network takes, gives and keeps, however deep."""

from __future__ import annotations

import datetime
import functools
import re
import weakref
from collections import deque
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Set, ValuesView
from contextlib import suppress
from enum import Enum
from numbers import Number
from types import (
    BuiltinMethodType,
    EllipsisType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    NotImplementedType,
)
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.tensors.storage import dense

_LEAVES = (Tensor, bool, int, float, complex, str, type(None))
_WITHOUT_TENSORS = (
    *_LEAVES,
    *(Number, bytes, Enum, range, slice, type, ModuleType, EllipsisType, NotImplementedType),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Generator),
    *(datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, re.Pattern, weakref.ref),
)
ENDS = (*_WITHOUT_TENSORS, nn.Module, FunctionType)
FIXED = (tuple, frozenset, MappingProxyType, MethodType, functools.partial)
_SMALL = object.__basicsize__ + 2 * tuple.__itemsize__


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each tensor, number and string in the value, with its path in it, in a fixed order."""
    return ((place, end) for place, end in ends(value, path) if isinstance(end, _LEAVES))


def tensors(value: Any) -> Iterator[Tensor]:
    """Each tensor in the value."""
    return (end for _, end in ends(value) if isinstance(end, Tensor))


def modules(value: Any) -> Iterator[nn.Module]:
    """Each module in the value, without those inside of it."""
    return (end for _, end in ends(value) if isinstance(end, nn.Module))


def opaque(value: Any) -> Iterator[Any]:
    """What is in the value and may hold tensors that nobody finds: an iterator, a closure, an object of other code."""
    for _, end in ends(value):
        if isinstance(end, FunctionType):
            if end.__closure__:
                yield end
        elif not isinstance(end, _WITHOUT_TENSORS) and not is_small(end):
            yield end


def is_small(value: Any) -> bool:
    """Whether an object has no room for anything of its own: a sentinel."""
    # A class of Python's adds a dict and weak references to an object, and this one's dict is empty: it is a sentinel.
    return bool(type(value).__basicsize__ <= _SMALL) and not isinstance(value, (Iterator, nn.Module))


def ends(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything that nothing more is in, with its path, in a fixed order; what holds others is entered once."""
    waiting = [(path, value)]
    entered: dict[int, Any] = {}
    while waiting:
        path, value = waiting.pop()
        inside = None if isinstance(value, ENDS) else contents(value)
        if inside is None:
            yield path, value
        elif id(value) not in entered:
            entered[id(value)] = value
            waiting += [(f"{path}[{name!r}]", item) for name, item in reversed(inside)]


def contents(value: Any) -> list[tuple[Any, Any]] | None:
    """What a container or an object holds, by key, number or name; None where that cannot be known."""
    if isinstance(value, Mapping):
        return [*_entries(value), *_beside(value, value.values())]
    if isinstance(value, (list, tuple, deque, KeysView, ValuesView, ItemsView)):
        return [*enumerate(value), *_beside(value, value)]
    if isinstance(value, Set):
        return [*enumerate(sorted(value, key=_rank) if len(value) > 1 else value), *_beside(value, value)]
    if isinstance(value, functools.partial):
        return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    if isinstance(value, (MethodType, BuiltinMethodType, MethodWrapperType)):
        return [("self", value.__self__)]
    return attributes(value) or None


def _entries(value: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    for i, (key, item) in enumerate(value.items()):
        if isinstance(key, (str, Number, bytes, Enum)):
            yield key, item
        else:
            # The text of another key may be an address, or the values of a tensor.
            yield f"key {i}", key
            yield i, item


def _beside(value: Any, items: Iterable[Any]) -> list[tuple[str, Any]]:
    """Attributes of a subclass of a container, but for those that are its items once more."""
    own = attributes(value)
    if not own:
        return own
    known = {id(item) for item in items}
    return [(name, item) for name, item in own if id(item) not in known]


def attributes(value: Any) -> list[tuple[str, Any]]:
    """An object's own attributes, those in `__slots__` too."""
    held = in_slots(value).items()
    own = getattr(value, "__dict__", None)
    return [*held, *own.items()] if isinstance(own, dict) else [*held]


def in_slots(value: Any) -> dict[str, Any]:
    """What an object holds in the `__slots__` of its classes."""
    found = {}
    for name, slot in slots(type(value)).items():
        with suppress(AttributeError):
            found[name] = slot.__get__(value)
    return found


def slots(kind: type) -> dict[str, MemberDescriptorType]:
    """The `__slots__` of a class and of those it is derived from."""
    classes = [vars(base) for base in kind.__mro__ if "__slots__" in vars(base)]
    return {n: slot for names in classes for n, slot in names.items() if isinstance(slot, MemberDescriptorType)}


def _rank(value: Any) -> list[tuple[str, float, float]]:
    # A set of tensors has another order in every run: their addresses are their hashes.
    return [_digest(leaf) for _, leaf in leaves(value)]


def _digest(leaf: Any) -> tuple[str, float, float]:
    if not isinstance(leaf, Tensor):
        return f"{type(leaf).__name__} {leaf!r}", 0.0, 0.0
    kind, sums = f"{leaf.dtype} {leaf.shape}", [0.0, 0.0]
    with suppress(RuntimeError, NotImplementedError), torch.no_grad():
        full = dense(leaf.detach())
        flat = (full.abs() if full.is_complex() else full).cpu().double().flatten()
        uneven = torch.cos(torch.arange(flat.numel(), dtype=flat.dtype))
        sums = [float(flat.sum()), float((flat * uneven).sum())]
    first, second = (number if number == number else float("inf") for number in sums)
    return kind, first, second
