"""The one walker through values: what is in a container or an object, however deep, and what is in that."""

from __future__ import annotations

import datetime
import functools
import re
import weakref
from collections import deque
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Set, ValuesView
from contextlib import suppress
from enum import Enum
from numbers import Number
from types import (
    BuiltinMethodType,
    EllipsisType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    NotImplementedType,
)
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from relu_demo.tensors.storage import dense

_LEAVES = (
    *(Tensor, Number, str, type(None), bytes, Enum, range, slice),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)
_WITHOUT_TENSORS = (
    *_LEAVES,
    *(type, ModuleType, EllipsisType, NotImplementedType, torch.Generator),
    *(datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, re.Pattern, weakref.ref),
)
ENDS = (*_WITHOUT_TENSORS, nn.Module, FunctionType)
"""Classes whose instances the walker does not enter."""
_SMALL = object.__basicsize__ + 2 * tuple.__itemsize__

Parts: TypeAlias = list[tuple[str, Any]]
"""What a value holds: each item, and where it is in the value (`[0]`, `['key']`, `['attribute']`)."""


def walk(
    value: Any,
    path: str = "",
    parts: Callable[[Any], Parts | None] | None = None,
    entered: dict[int, Any] | None = None,
) -> Iterator[tuple[str, Any, Parts | None]]:
    """
    Yield the value and all that can be reached from it, depth first: its path, itself, and its parts.

    What raises when it is looked at is left out.

    Parameters:
    `path` goes before every path.
    `parts` gives what a value holds, None where the walk ends; `contents` if it is left out.
    `entered` holds the values with parts by id. Each is entered once, and none that is in it at the start. It keeps
    them alive, so that no id can come to mean another object.
    """
    parts, entered = parts or contents, {} if entered is None else entered
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if id(value) in entered:
            continue
        try:
            inside = parts(value)
        except Exception:  # a dead weakref.proxy, a config with a value that is missing
            continue
        yield path, value, inside
        if inside is not None:
            entered[id(value)] = value
            waiting += [(path + step, item) for step, item in reversed(inside)]


def leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each tensor, number, string and the like in the value with its path, in the same order for equal values."""
    return ((path, leaf) for path, leaf, _ in walk(value) if isinstance(leaf, _LEAVES))


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield each tensor in the value, in the same order for equal values."""
    return (leaf for _, leaf, _ in walk(value) if isinstance(leaf, Tensor))


def opaque(value: Any) -> Iterator[Any]:
    """Yield each object in the value that may hold tensors and cannot be looked into: an iterator, a closure."""
    for _, end, inside in walk(value):
        if isinstance(end, FunctionType):
            if end.__closure__:
                yield end
        elif inside is None and not isinstance(end, _WITHOUT_TENSORS) and not is_sentinel(end):
            yield end


def is_sentinel(value: Any) -> bool:
    """Return whether an object that `contents` finds nothing in has no room for anything of its own."""
    # A class of Python's adds a dict and weak references to an object; the dict is empty, or it would have contents.
    return bool(type(value).__basicsize__ <= _SMALL) and not isinstance(value, (Iterator, nn.Module))


def contents(value: Any) -> Parts | None:
    """Return what a container or an object holds; None for one of `ENDS` and where it cannot be known."""
    if type(value) in (list, tuple):
        return _numbered(value)
    if isinstance(value, ENDS):
        return None
    if isinstance(value, Mapping):
        try:
            return [*_entries(value), *_beside(value, value.values())]
        except Exception:  # a config may refuse to give a value: its attributes hold it
            return _attributes(value) or None
    if isinstance(value, (list, tuple, deque, KeysView, ValuesView, ItemsView)):
        return [*_numbered(value), *_beside(value, value)]
    if isinstance(value, Set):
        return [*_numbered(sorted(value, key=_rank) if len(value) > 1 else value), *_beside(value, value)]
    if isinstance(value, functools.partial):
        return [("['func']", value.func), ("['args']", value.args), ("['keywords']", value.keywords)]
    if isinstance(value, (MethodType, BuiltinMethodType, MethodWrapperType)):
        return [("['self']", value.__self__)]
    return _attributes(value) or None


def _numbered(values: Iterable[Any]) -> Parts:
    return [(f"[{i}]", item) for i, item in enumerate(values)]


def _entries(value: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for i, (key, item) in enumerate(value.items()):
        if isinstance(key, (str, Number, bytes, Enum)):
            yield f"[{key!r}]", item
        else:
            # The text of another key may be an address, or the values of a tensor.
            yield f"['key {i}']", key
            yield f"[{i}]", item


def _beside(value: Any, items: Iterable[Any]) -> Parts:
    """Return the attributes of an instance of a container's subclass, without those that are its items too."""
    own = _attributes(value)
    if not own:
        return own
    known = {id(item) for item in items}
    return [(step, item) for step, item in own if id(item) not in known]


def _attributes(value: Any) -> Parts:
    own = getattr(value, "__dict__", None)
    named = {**slots_of(value), **own} if isinstance(own, dict) else slots_of(value)
    return [(f"[{name!r}]", item) for name, item in named.items()]


def slots_of(value: Any) -> dict[str, Any]:
    """Return the attributes that an object has in the `__slots__` of its classes, by name."""
    found = {}
    for name, slot in slots(type(value)).items():
        with suppress(AttributeError):
            found[name] = slot.__get__(value)
    return found


def slots(kind: type) -> dict[str, MemberDescriptorType]:
    """Return the `__slots__` of a class and of those it is derived from, by name."""
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
