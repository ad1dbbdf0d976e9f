"""The process: `relu-demo` and `python -m relu_demo` start and end here."""

import io
import os
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Run the command with this process's arguments and end the process with its exit code.

    It ends at once, without Python's tear-down: to take PyTorch apart takes a tenth of a second.
    """
    try:
        from relu_demo.cli.run import run

        # A name that this locale cannot write is no reason to fail.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        # rich takes a width of 0 at its word; the shells that set it mean that they do not know.
        for name in ("COLUMNS", "LINES"):
            if not os.environ.get(name, "1").strip("0"):
                del os.environ[name]
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    for stream in (sys.stdout, sys.stderr):
        # Closed, full or absent: `run` has said so already where there was something to say.
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
