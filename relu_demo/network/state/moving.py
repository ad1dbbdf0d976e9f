"""Objects that hold a state which Python's attributes do not show: random generators, arrays, iterators, files."""

from __future__ import annotations

import copy
import io
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import GeneratorType
from typing import Any

import torch

from relu_demo.network.state.items import PLAIN

PutBack = Callable[[], object]
"""Puts the state of one object back to what it was."""

LENT = {itertools.count}
"""Classes of counters: each pass uses up a copy."""
_AT_A_PLACE: tuple[type, ...] = (type(iter([])), type(iter(())), type(iter(range(0))), type(iter("")), type(iter(b"")))
"""Iterators that tell at which item they are, and can be set to another."""


def hides_state(kind: type) -> bool:
    """Return whether objects of a class have a state that their attributes do not show."""
    return issubclass(kind, (torch.Generator, random.Random, io.IOBase))


def putting_back(value: Any) -> PutBack | None:
    """Return what puts an object's inner state back to what it is now; None for one that has none, or hides it."""
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        with suppress(NotImplementedError):  # the operating system's numbers have no state
            return partial(value.setstate, value.getstate())
    if isinstance(value, _AT_A_PLACE):
        state = value.__reduce__()[2:]
        return partial(value.__setstate__, *state) if state else None  # type: ignore[attr-defined]
    if isinstance(value, io.IOBase):
        with suppress(OSError, ValueError):  # a pipe, a closed file
            return partial(value.seek, value.tell()) if value.seekable() else None
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.random.RandomState):
        return partial(value.set_state, value.get_state())
    if isinstance(value, numpy.random.Generator):
        return partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    if isinstance(value, numpy.ndarray) and value.flags.writeable and value.dtype != object:
        return partial(numpy.copyto, value, value.copy())
    return None


def is_random(value: Any) -> bool:
    """Return whether it is a random generator, which each pass finds where the last one found it."""
    numpy = sys.modules.get("numpy")
    kinds = () if numpy is None else (numpy.random.RandomState, numpy.random.Generator)
    return isinstance(value, (torch.Generator, random.Random, *kinds))


def copy_of(counter: Any) -> Any:
    """Return a counter that counts on from where this one is; from Python 3.14 on, where none can be made, itself."""
    try:
        return copy.copy(counter)
    except TypeError:
        return counter


def mark(value: Any) -> object:
    """Return something that is another once an iterator has moved on; None for what is no iterator."""
    if not isinstance(value, Iterator) or isinstance(value, io.IOBase):
        return None
    if isinstance(value, GeneratorType):
        frame = value.gi_frame
        if frame is None:
            return "exhausted"
        names = {name: item if type(item) in PLAIN else id(item) for name, item in frame.f_locals.items()}
        return frame.f_lasti, str(names)
    if type(value) is itertools.count:
        return repr(value)
    with suppress(Exception):
        return tuple(
            mark(part) if isinstance(part, Iterator) else part if isinstance(part, int) else 0
            for part in _flat(value.__reduce__()[1:])
        )
    with suppress(Exception):
        return value.__length_hint__()  # type: ignore[attr-defined]
    return None


def _flat(parts: Any) -> Iterator[Any]:
    for part in parts:
        if isinstance(part, tuple):
            yield from _flat(part)
        else:
            yield part
