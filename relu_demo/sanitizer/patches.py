"""Functions of PyTorch and Python that are replaced while anyone needs it: blocks may overlap in any order."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_replaced: dict[tuple[int, str], tuple[Any, Any, int]] = {}
"""By owner and name: the original, what takes its place, and how many blocks need that."""


@contextmanager
def replaced(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Iterator[None]:
    """Inside the block, have `wrap(original)` in the place of an attribute, once for all blocks of all threads.

    `wrap` must be the same function each time, and what it returns must ask at each call who is concerned.
    """
    key = id(owner), name
    with _lock:
        original, wrapper, count = _replaced.get(key, (None, None, 0))
        if not count:
            original = inspect.getattr_static(owner, name)
            wrapper = wrap(original)
            setattr(owner, name, wrapper)
        _replaced[key] = original, wrapper, count + 1
    try:
        yield
    finally:
        with _lock:
            original, wrapper, count = _replaced.pop(key)
            if count > 1:
                _replaced[key] = original, wrapper, count - 1
            elif inspect.getattr_static(owner, name, None) is wrapper:  # someone else may have replaced it meanwhile
                setattr(owner, name, original)
