"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from relu_demo.language import cells


@contextmanager
def progress_bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """
    Give a function `(done, of)` that draws a bar on stderr, where that is a terminal; take the bar away at the end.

    click's bar goes around the loop that works. This one is drawn by the call, between two measurements.
    """
    stream, drawn = sys.stderr, ""

    def draw(done: int, of: int) -> None:
        nonlocal drawn
        if stream is not None and not stream.closed and stream.isatty():
            filled = 30 * done // max(of, 1)
            drawn = f"\r{doing} [{'#' * filled}{'-' * (30 - filled)}]"
            stream.write(drawn)
            stream.flush()

    try:
        yield draw
    finally:
        if drawn:
            # The user's network may have replaced or closed standard error.
            with suppress(OSError, ValueError):
                stream.write("\r" + " " * cells(drawn) + "\r")
                stream.flush()
