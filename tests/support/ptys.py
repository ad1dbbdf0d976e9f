"""The command on a pseudo-terminal."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time

import pytest

from support.processes import PYTHON, command_environment

posix = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal or a signal of Unix")


ESCAPE = "\x1b"


def on_a_terminal(
    *arguments: str,
    python: list[str] = PYTHON,
    columns: int = 80,
    stdout: bool = True,
    interrupt_at: str = "",
    **environment: str,
) -> tuple[int, str, str]:
    """Runs the command with stderr, and stdout unless told otherwise, on a pseudo-terminal.

    Presses Ctrl-C when `interrupt_at` has been shown. Gives the exit code, what came on the terminal, and what came on
    stdout where that is a pipe.
    """
    import fcntl
    import pty
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        [*python, "-m", "relu_demo", *arguments],
        stdin=follower,
        stdout=follower if stdout else subprocess.PIPE,
        stderr=follower,
        env=command_environment(**{"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment}),
    )
    os.close(follower)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready, _, _ = select.select([leader], [], [], 0.1)
        if ready:
            try:
                shown += os.read(leader, 65536)
            except OSError:  # Linux says so that the last process has closed it
                break
            if interrupt_at and interrupt_at.encode() in shown:
                process.send_signal(signal.SIGINT)
                interrupt_at = ""
        elif process.poll() is not None:
            break
    piped = process.stdout.read() if process.stdout else b""
    os.close(leader)
    return process.wait(timeout=60), shown.decode(), piped.decode()
