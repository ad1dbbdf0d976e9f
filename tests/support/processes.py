"""Real processes that need not load PyTorch: `PYTHON` stands for the command `python`, and starts a warm one.

    subprocess.run([*PYTHON, "-m", "relu_demo", "--compare"])

`COLD` is Python itself: for what a warm process cannot show, such as how PyTorch is loaded and what is imported at all.
Where the system cannot fork, `PYTHON` is the same.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOCKET = "RELU_DEMO_WARM_SOCKET"
"""The variable that tells the workers of pytest-xdist where the server of the whole run listens."""

COLD = [sys.executable]
serves = hasattr(os, "fork") and SOCKET not in os.environ
if serves:
    os.environ[SOCKET] = os.path.join(tempfile.mkdtemp(prefix="warm-"), "socket")
CLIENT = [sys.executable, "-I", "-S", str(ROOT / "tests" / "support" / "warm_client.py")]
PYTHON = [*CLIENT, os.environ[SOCKET]] if SOCKET in os.environ else COLD


def command_environment(**more: str) -> dict[str, str]:
    """This process's environment without what steers a terminal, with relu_demo to be found, and with `more`."""
    steering = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "PYTHONIOENCODING", "LC_ALL", "LANG"}
    kept = {name: value for name, value in os.environ.items() if name not in steering}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@contextmanager
def warm_server() -> Iterator[None]:
    """Keep the server of `PYTHON` running inside the context, unless another process of this run does."""
    if not serves:
        yield
        return
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.environ[SOCKET])
        listener.listen(64)
        start = "import sys; sys.path[0] = sys.argv[1]; from support.warm_server import main; main(int(sys.argv[2]))"
        server = subprocess.Popen(
            [*COLD, "-c", start, str(ROOT / "tests"), str(listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=command_environment(LC_ALL="C.UTF-8"),
            pass_fds=[listener.fileno()],
        )
    try:
        yield
    finally:
        server.communicate()  # to close its standard input ends it
        shutil.rmtree(os.path.dirname(os.environ[SOCKET]))
