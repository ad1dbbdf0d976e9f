"""Stands in for Python: has the warm server run `-m MODULE` or `-c CODE`, and passes on what comes of it.

    python -I -S warm_client.py SOCKET [-W FILTER] -m MODULE ARGUMENTS...

The server forks a process that has PyTorch loaded already, on the very descriptors, current folder, environment and
limits of this one. Signals are passed to it, and this process ends as it ends: with its exit code, or by its signal.
What the server cannot run as a fresh Python would, a fresh Python runs, in place of this process.
"""

from __future__ import annotations

import array
import marshal
import os
import resource
import signal
import socket
import sys
from contextlib import suppress

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH)
STANDARD = (0, 1, 2)


def run(path: str, arguments: list[str]) -> None:
    """Run Python with these arguments and end as it ends."""
    descriptors = [descriptor for descriptor in STANDARD if is_open(descriptor)]
    fillers = [os.open(os.devnull, os.O_RDWR) for _ in STANDARD[len(descriptors) :]]  # no socket becomes one of them
    before = {number: signal.getsignal(number) for number in PASSED_ON}
    ignored = [int(number) for number, handler in before.items() if handler is signal.SIG_IGN]
    mask = os.umask(0)
    os.umask(mask)
    request = {
        "arguments": arguments,
        "descriptors": descriptors,
        "environment": dict(os.environ),
        "file_size": resource.getrlimit(resource.RLIMIT_FSIZE),
        "folder": os.getcwd(),
        "ignored": ignored,
        "mask": mask,
    }
    pid = 0
    early = []

    def pass_on(number: int, frame: object) -> None:
        if pid:
            os.kill(pid, number)
        else:
            early.append(number)

    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(path)
            for number in PASSED_ON:
                if number not in ignored:
                    signal.signal(number, pass_on)
            message = marshal.dumps(request)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            server.sendmsg([len(message).to_bytes(4, "big")], rights)
            server.sendall(message)
            pid = int.from_bytes(received(server, 4), "big")
            for each in early:
                os.kill(pid, each)
            status = int.from_bytes(received(server, 4), "big")
    except OSError:  # there is no server, or it will not
        for number, handler in before.items():
            signal.signal(number, handler)
        for filler in fillers:
            os.close(filler)
        os.execv(sys.executable, [sys.executable, *arguments])
    if os.WIFSIGNALED(status):
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def is_open(descriptor: int) -> bool:
    """Tell whether a descriptor is open."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def received(connection: socket.socket, size: int) -> bytes:
    """Return exactly so many bytes; raise ConnectionError if the other end has closed the connection before."""
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
