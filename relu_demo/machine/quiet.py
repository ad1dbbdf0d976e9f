"""Keeps what C++ prints on file descriptors 1 and 2 away from the reader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Sends file descriptors 1 and 2 to nowhere while the block runs; an exception passes through untouched.

    sys.stderr cannot do this: C++ knows the descriptor only. Descriptors are the process's own, so no other thread
    should print meanwhile: keep the block short.
    """
    # A descriptor that is closed is filled first, or a copy of the other one would land on it, and be printed to.
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
