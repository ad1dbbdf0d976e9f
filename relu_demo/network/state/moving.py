"""Objects that hold a state which Python's attributes do not show: random generators, arrays, iterators, files."""

from __future__ import annotations

import array
import contextvars
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

_OF_CTYPES = ("Array", "Structure", "Union", "_SimpleCData")

PutBack = Callable[[], object]
"""Puts the state of one object back to what it was."""

LENT = {itertools.count}
"""Classes of counters: each pass uses up a copy."""
_AT_A_PLACE: tuple[type, ...] = (type(iter([])), type(iter(())), type(iter(range(0))), type(iter("")), type(iter(b"")))
"""Iterators that tell at which item they are, and can be set to another."""


def hides_state(kind: type) -> bool:
    """Return whether objects of a class have a state that their attributes do not show."""
    arrays = (bytearray, array.array, *_kinds("numpy", "ndarray"), *_kinds("_ctypes", *_OF_CTYPES))
    return issubclass(kind, (torch.Generator, random.Random, io.IOBase, *arrays))


def putting_back(value: Any) -> PutBack | None:
    """Return what puts an object's inner state back to what it is now; None for one that has none, or hides it."""
    for find in (_of_generator, _of_stream, _of_array, _of_variable):
        put_back = find(value)
        if put_back is not None:
            return put_back
    return None


def _of_generator(value: Any) -> PutBack | None:
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        with suppress(NotImplementedError):  # the operating system's numbers have no state
            return partial(value.setstate, value.getstate())
    if _is_a(value, "numpy.random", "RandomState"):
        return partial(value.set_state, value.get_state())
    if _is_a(value, "numpy.random", "Generator"):
        return _of_generator(value.bit_generator)
    if _is_a(value, "numpy.random", "BitGenerator"):
        return partial(setattr, value, "state", value.state)
    return None


def _of_stream(value: Any) -> PutBack | None:
    if isinstance(value, _AT_A_PLACE):
        state = value.__reduce__()[2:]
        return partial(value.__setstate__, *state) if state else None  # type: ignore[attr-defined]
    if isinstance(value, (io.StringIO, io.BytesIO)):
        with suppress(ValueError):  # a closed one
            return partial(value.__setstate__, value.__getstate__())  # type: ignore[union-attr]
    if isinstance(value, io.IOBase):
        with suppress(OSError, ValueError):  # a pipe, a closed file
            return partial(value.seek, value.tell()) if value.seekable() else None
    return None


def _of_array(value: Any) -> PutBack | None:
    if _is_a(value, "numpy", "ndarray"):
        writeable = value.flags.writeable
        return partial(_restore_array, value, value.shape, writeable, value.copy() if writeable else None)
    if isinstance(value, (bytearray, array.array)):
        return partial(value.__setitem__, slice(None), value[:])
    if _is_a(value, "_ctypes", *_OF_CTYPES):
        return partial(_restore_memory, value, memoryview(value).tobytes())
    return None


def _restore_array(value: Any, shape: tuple[int, ...], writeable: bool, before: Any) -> None:
    if value.shape != shape:
        value.shape = shape
    if value.flags.writeable != writeable:
        value.flags.writeable = writeable
    if before is not None:
        sys.modules["numpy"].copyto(value, before)


def _restore_memory(value: Any, before: bytes) -> None:
    ctypes = sys.modules["ctypes"]
    ctypes.memmove(ctypes.addressof(value), before, len(before))


def _of_variable(value: Any) -> PutBack | None:
    if isinstance(value, contextvars.ContextVar):
        with suppress(LookupError):  # it has no value
            return partial(value.set, value.get())
    return None


def _is_a(value: Any, module: str, *names: str) -> bool:
    return isinstance(value, _kinds(module, *names))


def _kinds(module: str, *names: str) -> tuple[type, ...]:
    """Return classes of a module by their names; none of them where nobody has imported it."""
    found = sys.modules.get(module)
    return () if found is None else tuple(getattr(found, name) for name in names)


def is_random(value: Any) -> bool:
    """Return whether it is a random generator, which each pass finds where the last one found it."""
    kinds = _kinds("numpy.random", "RandomState", "Generator", "BitGenerator")
    return isinstance(value, (torch.Generator, random.Random, *kinds))


def copy_of(counter: Any) -> Any:
    """Return a counter that counts on from where this one is; from Python 3.14 on, where none can be made, itself."""
    try:
        return copy.copy(counter)
    except TypeError:
        return counter


def mark(value: Any) -> object:
    """Return something that is another once an iterator has moved on, or a hash; None for what does not move."""
    if _is_a(value, "numpy.random", "SeedSequence"):
        return repr(value)
    if hasattr(type(value), "hexdigest"):
        with suppress(Exception):  # one that asks for a length
            return str(value.hexdigest())
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
        return value.__length_hint__()  # type: ignore[attr-defined]
    with suppress(Exception):
        return tuple(
            mark(part) if isinstance(part, Iterator) else part if isinstance(part, int) else 0
            for part in _flat(value.__reduce__()[1:])
        )
    return None


def _flat(parts: Any) -> Iterator[Any]:
    for part in parts:
        if isinstance(part, tuple):
            yield from _flat(part)
        else:
            yield part
