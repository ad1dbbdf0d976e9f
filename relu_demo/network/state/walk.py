"""One walker, with two ways to look: at what a value shows, as a result does, and at all that Python keeps alive."""

from __future__ import annotations

import datetime
import functools
import gc
import io
import re
import sys
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Set, ValuesView
from contextlib import suppress
from enum import Enum
from numbers import Number
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from relu_demo.sanitizer.frames import is_users

CONTAINERS = (OrderedDict, dict, list, set, deque)
PLAIN_TYPES = {bool, int, float, complex, str, bytes, type(None)}
"""Classes whose instances hold nothing."""
_ATOMS: tuple[Any, ...] = (
    *(Number, str, type(None), bytes, Enum, range, slice),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)
_LEAF_TYPES = (Tensor, *_ATOMS)
_WITHOUT_TENSORS = (
    *(*_LEAF_TYPES, type, ModuleType, torch.Generator, weakref.ref),
    *(datetime.date, datetime.time, datetime.timedelta, re.Pattern),
)
_ENDS = (*_WITHOUT_TENSORS, nn.Module, FunctionType)
_BEHIND = (functools.partial, BuiltinFunctionType, MappingProxyType, ValuesView)
"""Classes of Python's that show what the garbage collector finds in them."""
_ALIVE = (
    *("asyncio.", "concurrent.", "logging.", "multiprocessing.", "socket.", "threading.", "weakref.", "_weakref."),
    *("torch._dynamo.", "torch._inductor."),
)
"""Parts of Python and PyTorch whose objects change on their own, in threads or with what has been compiled."""
_SMALL = object.__basicsize__ + 2 * tuple.__itemsize__
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))

Parts: TypeAlias = list[tuple[str, Any]]
"""What a value holds: each item, and where it is in the value (`[0]`, `['key']`, `['attribute']`)."""


def visible_parts(value: Any) -> Parts | None:
    """Return what a container or an object shows; None where the walk ends and where it cannot be known."""
    parts: Parts = []
    if isinstance(value, _ENDS):
        return None
    if isinstance(value, dict):
        named = enumerate(value.items())
        parts = [(f"[{key!r}]" if isinstance(key, _ATOMS) else f"[{i}]", item) for i, (key, item) in named]
    elif isinstance(value, (list, tuple, deque)):
        parts = _numbered(value)
    elif isinstance(value, Set):
        if len(value) > 1 and not set(map(type, value)) <= PLAIN_TYPES:
            return None  # a set of tensors has another order in every run: their addresses are their hashes
        parts = _numbered(value)
    elif isinstance(value, MethodType):
        parts = [("['self']", value.__self__)]
    elif isinstance(value, _BEHIND):
        parts = _numbered(gc.get_referents(value))
    elif not attributes(value):
        return None
    return parts + [(f"[{name!r}]", item) for name, item in attributes(value).items()]


def _numbered(values: Iterable[Any]) -> Parts:
    return [(f"[{i}]", item) for i, item in enumerate(values)]


def attributes(value: Any) -> dict[str, Any]:
    """Return the attributes that an object has in its `__dict__` and in the `__slots__` of its classes, by name."""
    state: Any = object.__getstate__(value)
    own, in_slots = state if isinstance(state, tuple) else (state, {})
    return {**in_slots, **(own or {})}


def walk(
    value: Any, path: str = "", look: Callable[[Any], Parts | None] = visible_parts
) -> Iterator[tuple[str, Any, Parts | None]]:
    """Yield the value and all that can be reached from it, depth first: its path, itself, and its parts.

    What raises when it is looked at is left out. `look` gives what a value holds, None where the walk ends. A value
    with parts is entered once.
    """
    waiting = [(path, value)]
    entered = {}  # keeps the values alive, so that no id can come to mean another object
    while waiting:
        path, value = waiting.pop()
        if id(value) in entered:
            continue
        try:
            inside = look(value)
        except Exception:  # a dead weakref.proxy
            continue
        yield path, value, inside
        if inside is not None:
            entered[id(value)] = value
            waiting += [(path + step, item) for step, item in reversed(inside)]


def leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each tensor, number, string and the like in the value with its path, in the same order for equal values."""
    return ((path, leaf) for path, leaf, _ in walk(value) if isinstance(leaf, _LEAF_TYPES))


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield each tensor in the value, in the same order for equal values."""
    return (leaf for _, leaf, _ in walk(value) if isinstance(leaf, Tensor))


def opaque(value: Any) -> Iterator[Any]:
    """Yield each object in the value that may hold tensors and cannot be looked into: an iterator, a closure."""
    for _, end, inside in walk(value):
        # A class of Python's adds a dict and weak references to an object; with more there is room for a tensor.
        is_small = type(end).__basicsize__ <= _SMALL and not isinstance(end, (Iterator, nn.Module))
        if isinstance(end, FunctionType):
            if end.__closure__:
                yield end
        elif inside is None and not is_small and not isinstance(end, _WITHOUT_TENSORS):
            yield end


def attribute_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors in plain attributes of the network's modules, by name: what a forward may leave for later.

    A module in such an attribute (a plain list of them, which PyTorch does not look into) counts as one of the
    network's, its buffers as such tensors.
    """
    found: dict[str, Tensor] = {}
    modules = [*network.named_modules()]
    known = {id(module) for _, module in modules}
    for path, module in modules:
        own = [part for part in vars(module).items() if part[0] not in _OF_EVERY_MODULE and not _is_plain(part[1])]
        for name, value in own:
            for place, end, _ in walk(value, f"{path}.{name}".lstrip("."), _beyond_numbers):
                if isinstance(end, Tensor):
                    found[place] = end
                elif isinstance(end, nn.Module) and id(end) not in known:
                    modules += (more := [*end.named_modules(prefix=place)])
                    known |= {id(each) for _, each in more}
                    found |= end.named_buffers(prefix=place)
    return found


def _beyond_numbers(value: Any) -> Parts:
    """Return what a value shows without numbers and strings: nobody need enter a vocabulary."""
    kind = type(value)
    if kind in (list, tuple, dict) and set(map(type, value.values() if kind is dict else value)) <= PLAIN_TYPES:
        return []
    return [part for part in visible_parts(value) or () if not _is_plain(part[1])]


def _is_plain(value: Any) -> bool:
    return type(value) in PLAIN_TYPES or (type(value) is tuple and set(map(type, value)) <= PLAIN_TYPES)


def reachable(
    roots: Iterable[Any], entered: dict[int, Any], by_function: Callable[[FunctionType], list[Any]] = lambda _: []
) -> list[Any]:
    """Return each object that the roots keep alive and whose state can be theirs, without those in `entered`.

    Left out are numbers and strings, modules and classes that are not the user's, and what changes on its own.
    `by_function`: gives what a function holds.
    """
    found, waiting = [], [*roots]
    for value in waiting:
        kind: type = type(value)
        if id(value) in entered or not _is_entered(kind) or (issubclass(kind, type) and not _is_users_class(value)):
            continue
        entered[id(value)] = value
        found.append(value)
        if kind in CONTAINERS and not value:  # as most of a module's dictionaries are
            continue
        with suppress(Exception):  # one that raises whatever it is asked for
            held = by_function(value) if issubclass(kind, FunctionType) else _held_by(value)
            waiting += [item for item in held if type(item) not in PLAIN_TYPES]
    return found


@functools.cache
def _is_entered(kind: type) -> bool:
    if issubclass(kind, (*_ATOMS, ModuleType, CodeType, FrameType)):
        return False
    return not any(f"{base.__module__}.".startswith(_ALIVE) for base in kind.__mro__)


def _held_by(value: Any) -> list[Any]:
    """Return the objects that an object holds."""
    if isinstance(value, CONTAINERS):
        return [*gc.get_referents(value), getattr(value, "__dict__", None)]
    if isinstance(value, io.IOBase) or (isinstance(value, Iterator) and not type(value).__dictoffset__):
        return []  # what an iterator of Python's holds goes with its place in that, which cannot be put back
    if isinstance(value, Tensor):
        return [value.__dict__, value._backward_hooks, value._post_accumulate_grad_hooks]
    if isinstance(value, type):
        return [*value.__bases__, *class_data(value).values()]
    return [getattr(value, "__dict__", None), *gc.get_referents(value)]


def held_by_function(function: FunctionType) -> list[Any]:
    """Return what a function holds: its closure, defaults and attributes, and the containers that its code names.

    Of a function that is not the user's only the one that it wraps, as a decorator of PyTorch's does.
    """
    if not is_users(function.__code__.co_filename):
        return [function.__dict__.get("__wrapped__")]
    named = (function.__globals__.get(name) for name in _names_in(function.__code__))
    held = [*(function.__closure__ or ()), *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return [*held, function.__dict__, *(item for item in named if type(item) in CONTAINERS)]


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def class_data(kind: type) -> dict[str, Any]:
    """Return the attributes of a class, without those that are Python's own."""
    return {name: item for name, item in vars(kind).items() if not (name.startswith("__") or name == "_abc_impl")}


@functools.cache
def _is_users_class(kind: type) -> bool:
    """Whether a class can change with the network: one of the user's, or made while the program ran."""
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if file is None or is_users(file):  # a notebook has no file
        return file is not None or kind.__module__ == "__main__"
    # PyTorch makes one for each parametrized module.
    return "<" not in kind.__qualname__ and not hasattr(module, kind.__qualname__.split(".")[0])
