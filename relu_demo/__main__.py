"""The process: `relu-demo` and `python -m relu_demo` start and end here."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # what is imported here is imported before anybody answers a Ctrl-C
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

CALLERS = (["<module>"], ["<module>", "_run_code", "_run_module_as_main"])
"""The functions below `main` in a process of its own, from the innermost: of the console script, and of `python -m`."""


def main() -> NoReturn:
    """Run the command with this process's arguments and end the process with its exit code.

    A process of our own ends at once, without Python's tear-down: to take PyTorch apart takes a tenth of a second.
    After a check it ends as Python ends: the user's code may have left threads, files and `atexit` functions.
    Where others started the process, such as a notebook's kernel, a debugger or a profiler, raise SystemExit instead.
    """
    if called_by(sys._getframe().f_back) == CALLERS[1]:
        _without_the_folder()
    try:
        from relu_demo.cli.run import run

        _prepare()
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        print(file=sys.stderr)  # the shell's prompt goes below the terminal's ^C
        code = 130
    except ImportError as error:
        print(f"relu-demo: it cannot start: {error}; install it again with pip", file=sys.stderr)
        code = 70
    from contextlib import suppress

    for stream in (sys.stdout, sys.stderr):
        # Closed, full or absent: `run` has said so already where there was something to say.
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    if sys.argv[1:2] != ["check"] and called_by(sys._getframe().f_back) in CALLERS:
        os._exit(code)
    sys.exit(code)


def _prepare() -> None:
    """Set up the streams: a name that this locale cannot write is no reason to fail."""
    import io

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _without_the_folder() -> None:
    """Take off `sys.path` the folder that `python -m` puts there: a `rich.py` in it is not what we import."""
    here = os.path.realpath(sys.path[0] or os.curdir)
    if here != os.path.dirname(os.path.dirname(os.path.realpath(__file__))):
        del sys.path[0]


def called_by(frame: FrameType | None) -> list[str]:
    """Return the name of a frame's function and of all below it."""
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names


if __name__ == "__main__":
    main()
