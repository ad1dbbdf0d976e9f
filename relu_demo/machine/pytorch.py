"""The loading of PyTorch: nearly all of our run time, with a sign of life on a terminal and without its warnings."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from typing import TextIO

from relu_demo.errors import LoadError

FRAMES = "|/-\\"
"""What the spinner shows in turn: ASCII, so that every terminal and code page can."""


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
            spinner("Loading PyTorch", sys.stderr) as clear,
            late_ctrl_c(clear),
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
def late_ctrl_c(clear: Callable[[], None]) -> Iterator[None]:
    """Has Ctrl-C inside the context raise KeyboardInterrupt at its end, whatever else is raised there.

    A second one ends the process at once, with exit code 130, after `clear`. Ignored, as in a shell's background,
    Ctrl-C stays so.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = False

    def press(number: int, frame: object) -> None:
        # An exception here could be raised in Python that PyTorch's C++ calls while it is loaded, which aborts.
        nonlocal pressed
        if pressed:
            clear()
            os._exit(130)
        pressed = True

    before = signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            raise KeyboardInterrupt


@contextmanager
def spinner(text: str, stream: TextIO | None) -> Iterator[Callable[[], None]]:
    """Shows a spinner with `text` on `stream` inside the context, where that is a terminal which can go back in a line.

    Gives what clears its line, which may be called in the middle of anything.

    Not rich's: `--json` does without rich, and rich would be loaded before the wait begins.
    """
    if stream is None or stream.closed or not stream.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        yield lambda: None
        return
    done = threading.Event()
    descriptor, blank = stream.fileno(), "\r" + " " * (len(text) + 3) + "\r"

    def clear() -> None:
        with suppress(OSError):  # the terminal may be gone
            os.write(descriptor, blank.encode())

    def spin() -> None:
        turn = 0
        while not done.wait(0.1):
            stream.write(f"\r{FRAMES[turn % len(FRAMES)]} {text} ")
            stream.flush()
            turn += 1
        clear()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield clear
    finally:
        done.set()
        thread.join()
