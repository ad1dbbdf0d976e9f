"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

import sys


def progress_bar(doing: str, done: int, of: int) -> None:
    """Draw a progress bar on stderr, where that is a terminal, and take it away when all is done.

    click's bar goes around the loop that works. This one is drawn by the call, between two measurements.
    """
    if sys.stderr is not None and sys.stderr.isatty():
        filled = 30 * done // max(of, 1)
        text = f"\r{doing} [{'#' * filled}{'-' * (30 - filled)}]"
        sys.stderr.write(text if done < of else "\r" + " " * len(text) + "\r")
        sys.stderr.flush()
