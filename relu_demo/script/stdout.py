"""Standard output kept free for a report, while the user's script prints on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


@contextmanager
def stdout_for_report() -> Iterator[TextIO]:
    """
    Point descriptor 1 at 2, and yield a text stream on what 1 was: `os.write(1)` and subprocesses are moved too.

    Descriptor 1 is put back when the block ends, except by SystemExit: then the process ends, and what still runs in it
    is the script's. Raise OSError where standard output is closed. Where standard error is closed, what the script
    prints goes nowhere.
    """
    _flush()
    old = sys.__stdout__
    kept = os.dup(1)
    if kept == 2:  # standard error is closed
        kept = os.dup(1)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
    os.dup2(2, 1)
    # Python buffers by lines only what was a terminal at its start.
    lines = getattr(old, "line_buffering", False)
    _buffer_by_lines(lines or os.isatty(1))
    encoding = getattr(old, "encoding", None) or "utf-8"
    try:
        with open(kept, "w", encoding=encoding, errors="backslashreplace", closefd=False) as stream:
            yield stream
    except SystemExit:
        _flush()
        raise
    except BaseException:
        _put_back(kept, lines)
        raise
    _put_back(kept, lines)


def _put_back(kept: int, lines: bool) -> None:
    _flush()
    os.dup2(kept, 1)
    os.close(kept)
    _buffer_by_lines(lines)


def _flush() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        with suppress(OSError, ValueError, AttributeError):  # closed, full or absent
            stream.flush()  # type: ignore[union-attr]


def _buffer_by_lines(lines: bool) -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.__stdout__.reconfigure(line_buffering=lines)  # type: ignore[union-attr]
