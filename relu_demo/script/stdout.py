"""Standard output kept free for a report, while the user's code prints on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True)
class Taken:
    """What was standard output, while descriptor 1 is what 2 is: `os.write(1)` and subprocesses are moved too."""

    stream: TextIO
    """A text stream on what descriptor 1 was."""
    lines: bool
    """Whether `sys.stdout` was buffered by lines."""

    def put_back(self) -> None:
        """Put descriptor 1 back."""
        _flush()
        kept = self.stream.fileno()
        with suppress(OSError):  # nobody reads on
            self.stream.close()
        os.dup2(kept, 1)
        os.close(kept)
        _buffer_by_lines(self.lines)


def take() -> Taken:
    """
    Point descriptor 1 at 2, and return a stream on what 1 was.

    Raise OSError where standard output is closed. Where standard error is closed, what is printed goes nowhere.
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
    return Taken(open(kept, "w", encoding=encoding, errors="backslashreplace", closefd=False), lines)


@contextmanager
def stdout_for_report() -> Iterator[TextIO]:
    """
    Inside the block, have descriptor 1 taken, and give the stream on what it was.

    It is put back when the block ends, except by SystemExit: then the process ends, and what still runs in it is the
    script's. Raise OSError where standard output is closed.
    """
    taken = take()
    try:
        yield taken.stream
    except SystemExit:
        _flush()
        taken.stream.flush()
        raise
    except BaseException:
        taken.put_back()
        raise
    taken.put_back()


def _flush() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        with suppress(OSError, ValueError, AttributeError):  # closed, full or absent
            stream.flush()  # type: ignore[union-attr]


def _buffer_by_lines(lines: bool) -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.__stdout__.reconfigure(line_buffering=lines)  # type: ignore[union-attr]
