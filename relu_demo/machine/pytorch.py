"""Loading PyTorch, which takes nearly all of our run time: with a spinner on a terminal, and without its warnings."""

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
from itertools import cycle
from typing import TextIO

from relu_demo.errors import BadInput, LoadError
from relu_demo.language import _, cells
from relu_demo.machine.terminal import handling, is_terminal

MADE_BY_SCRIPTS = "relu-demo-stamps"
"""A folder that is in the environment which the project's scripts make, and in no other."""


def load_torch() -> None:
    """Import torch, so that every later import of it costs nothing. Raise LoadError if that fails.

    Show a spinner on stderr if that is a terminal. Drop what PyTorch and NumPy print while they are imported. The
    garbage collector is off meanwhile and never looks at the objects that the import made: a fifth of the time.
    """
    gc.disable()
    try:
        with (
            spinner(_("Loading PyTorch"), sys.stderr) as clear,
            late_ctrl_c(clear),
            redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            import torch

            torch.device("cpu")  # PyTorch 1.13 looks for NumPy only here, and warns where there is none
    except ModuleNotFoundError as error:
        if error.name != "torch":
            why = _("it needs {name}, which is not installed", name=error.name)
            raise LoadError(_does_not_load(why)) from error
        raise LoadError(_("PyTorch is not installed in this Python; give: pip install torch")) from error
    except Exception as error:
        said_last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise LoadError(_does_not_load(said_last)) from error
    finally:
        gc.freeze()
        gc.enable()


def require_newer(what: str) -> None:
    """Raise BadInput where PyTorch is older than 2.6 (Debian 13), the oldest that `check` and `watch` run with."""
    import torch

    if torch.__version__ < "2.6":  # a TorchVersion compares numbers
        raise BadInput(f"{what} takes PyTorch 2.6 or newer, and this is {torch.__version__}; install a newer one")


def _does_not_load(why: str) -> str:
    """Say that PyTorch is there and damaged, and what to do."""
    if os.path.isdir(os.path.join(sys.prefix, MADE_BY_SCRIPTS)):
        cure = _("delete {folder} and run scripts/run.py, which makes it anew", folder=sys.prefix)
    else:
        cure = _("install it again: pip install --force-reinstall torch")
    return _("PyTorch does not load: {why}; {cure}", why=why, cure=cure)


@contextmanager
def late_ctrl_c(clear: Callable[[], None]) -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the context, whatever else is raised there, if Ctrl-C was pressed inside.

    A second Ctrl-C calls `clear` and ends the process at once, with exit code 130. Where Ctrl-C is ignored, as in a
    shell's background, it stays so.
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

    try:
        with handling({signal.SIGINT: press}):
            yield
    finally:
        if pressed:
            raise KeyboardInterrupt


@contextmanager
def spinner(text: str, stream: TextIO | None) -> Iterator[Callable[[], None]]:
    """Show a spinner with `text` inside the context, if `stream` is a terminal that can go back in a line.

    Yield a function that clears the spinner's line and is safe to call in a signal handler. rich has a spinner too, but
    `--json` does without rich, and rich would have to be imported before the wait begins.
    """
    if stream is None or not is_terminal(stream) or os.environ.get("TERM") in ("dumb", "unknown"):
        yield lambda: None
        return
    done = threading.Event()
    descriptor, blank = stream.fileno(), "\r" + " " * (cells(text) + 3) + "\r"

    def clear() -> None:
        with suppress(OSError):  # the terminal may be gone
            os.write(descriptor, blank.encode())

    def spin() -> None:
        for frame in cycle("|/-\\"):  # ASCII, so that every terminal and code page can
            if done.wait(0.1):
                break
            stream.write(f"\r{frame} {text} ")
            stream.flush()
        clear()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield clear
    finally:
        done.set()
        thread.join()
