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
    nowhere = os.open(os.devnull, os.O_WRONLY)
    copies: dict[int, int] = {}
    try:
        for fd in (1, 2):
            try:
                copies[fd] = os.dup(fd)
            except OSError:  # closed by whoever started us: there is nothing to keep quiet
                continue
            os.dup2(nowhere, fd)
        yield
    finally:
        for fd, copy in copies.items():
            os.dup2(copy, fd)
            os.close(copy)
        os.close(nowhere)
