"""Keeps what C++ prints on file descriptors 1 and 2 away from the reader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Point file descriptors 1 and 2 at the null device inside the context. Exceptions pass through.

    Replacing sys.stderr would not do: C++ writes to the descriptor. All threads of the process share the descriptors,
    so keep the block short: what another thread prints meanwhile is lost.
    """
    # If descriptor 1 or 2 is closed, a copy of the other could get its number and be printed to: fill it first.
    opened = [os.open(os.devnull, os.O_RDWR)]
    while opened[-1] <= 2:
        opened.append(os.open(os.devnull, os.O_RDWR))
    copies = [(fd, os.dup(fd)) for fd in (1, 2)]
    try:
        for fd, _ in copies:
            os.dup2(opened[-1], fd)
        yield
    finally:
        for fd, copy in copies:
            os.dup2(copy, fd)
            os.close(copy)
        for fd in opened:
            os.close(fd)
