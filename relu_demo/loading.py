"""The loading of PyTorch: nearly all of our run time, with a sign of life on a terminal and without its warnings."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TextIO

FRAMES = "|/-\\"
"""What the spinner shows in turn: ASCII, so that every terminal and code page can."""


class LoadError(Exception):
    """PyTorch is missing or broken. The message says which, in one line."""


def load_torch() -> None:
    """Imports torch, so that every later import of it costs nothing.

    A spinner runs on stderr while that is a terminal. What PyTorch and NumPy say while they are imported is dropped.
    The garbage collector is off meanwhile and does not look at what the import left afterwards: a fifth of the time.

    Raises LoadError where torch cannot be imported.
    """
    said = io.StringIO()
    gc.disable()
    try:
        with (
            spinner("Loading PyTorch", sys.stderr),
            insistent_ctrl_c(),
            redirect_stderr(said),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise LoadError(f"PyTorch does not load: it needs {error.name}, which is not installed") from error
        raise LoadError("PyTorch is not installed in this Python; give: pip install torch") from error
    except Exception as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise LoadError(f"PyTorch does not load: {words[-1]}") from error
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def insistent_ctrl_c() -> Iterator[None]:
    """Sees to it that Ctrl-C inside the context raises KeyboardInterrupt at its end, whatever becomes of it on the way.

    NumPy's import turns it into an ImportError of its own. Ignored, as in a shell's background, it stays so.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = False

    def press(number: int, frame: object) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            raise KeyboardInterrupt


@contextmanager
def spinner(text: str, stream: TextIO | None) -> Iterator[None]:
    """Shows a spinner with `text` on `stream` inside the context, where that is a terminal which can go back in a line.

    Not rich's: `--json` does without rich, and rich would be loaded before the wait begins.
    """
    if stream is None or stream.closed or not stream.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        yield
        return
    done = threading.Event()

    def spin() -> None:
        turn = 0
        while not done.wait(0.1):
            stream.write(f"\r{FRAMES[turn % len(FRAMES)]} {text} ")
            stream.flush()
            turn += 1
        stream.write("\r" + " " * (len(text) + 3) + "\r")
        stream.flush()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
