"""A process that has loaded PyTorch and relu_demo and has run nothing; it forks one process for each client.

It ends when its standard input does, and ends what it has forked. The interpreter's settings are those of this process:
a client whose environment asks for others gets no answer and starts Python itself.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import marshal
import os
import pkgutil
import resource
import runpy
import select
import selectors
import signal
import socket
import sys
import traceback
import types
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn, TextIO

from support.warm_client import PASSED_ON, STANDARD, received

ENCODING = "PYTHONIOENCODING"
READ_AT_START = ("PYTHON", "OMP_", "MKL_", "LC_", "LANG")
"""How the names of variables begin that Python and PyTorch read once, when they start."""


def main(descriptor: int) -> None:
    """Serve on the listening socket of that descriptor; load everything when the first client comes."""
    listener = socket.socket(fileno=descriptor)
    if sys.stdin in select.select([sys.stdin, listener], [], [])[0]:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("torch", "rich.console", "rich.syntax", "rich.table", "relu_demo"):
            importlib.import_module(name)
        for module in pkgutil.walk_packages(sys.modules["relu_demo"].__path__, "relu_demo."):
            if not module.name.endswith("__main__"):
                # A PyTorch before 2.6 lacks what `check` and `watch` need.
                with contextlib.suppress(AttributeError, ImportError):
                    importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    Server(listener).serve()


class Server:
    """Answers clients and tells each how its process has ended."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.clients: dict[int, socket.socket] = {}
        self.selector = selectors.DefaultSelector()
        self.woken, self.waker = socket.socketpair()
        for side in (self.woken, self.waker):
            side.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self.waker.fileno())

    def serve(self) -> None:
        """Answer clients until standard input ends, then end their processes."""
        self.selector.register(self.listener, selectors.EVENT_READ, self.admit)
        self.selector.register(self.woken, selectors.EVENT_READ, lambda: self.woken.recv(4096))
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is sys.stdin:
                    for pid in self.clients:
                        os.kill(pid, signal.SIGKILL)
                    return
                key.data()
            self.tell_endings()

    def admit(self) -> None:
        """Accept a client; fork its process, or hang up where only a fresh Python will do."""
        client, _ = self.listener.accept()
        if pid := forked(client):
            self.clients[pid] = client
            self.selector.register(client, selectors.EVENT_READ, lambda: self.end_process(pid))
        else:
            client.close()

    def end_process(self, pid: int) -> None:
        """End the process of a client that has been killed: no other hangs up before its process has ended."""
        self.selector.unregister(self.clients[pid])
        os.kill(pid, signal.SIGKILL)

    def tell_endings(self) -> None:
        """Tell each client whose process has ended how it has."""
        for pid, client in list(self.clients.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with suppress(KeyError):
                    self.selector.unregister(client)
                with suppress(OSError):
                    client.sendall(status.to_bytes(4, "big"))
                client.close()
                del self.clients[pid]


def forked(client: socket.socket) -> int:
    """Fork the process that a client asks for, tell it the id and return that; 0 where only a fresh Python will do."""
    descriptors = array.array("i")
    try:
        size, ancillary, *_ = client.recvmsg(4, socket.CMSG_SPACE(len(STANDARD) * descriptors.itemsize))
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        request = marshal.loads(received(client, int.from_bytes(size, "big")))
        if not can_run(request["arguments"]) or settings(request["environment"]) != settings(os.environ):
            return 0
        pid = os.fork()
        if pid == 0:
            try:
                become(request, descriptors)
                run(request["arguments"])
            finally:
                os._exit(70)
        client.sendall(pid.to_bytes(4, "big"))
        return pid
    except OSError:
        return 0
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def can_run(arguments: list[str]) -> bool:
    """Tell whether Python's own arguments are filters of warnings, then `-m` or `-c`."""
    while arguments[:1] == ["-W"]:
        arguments = arguments[2:]
    return arguments[:1] in (["-m"], ["-c"])


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are read once, without those that ask for what each process here can have."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(READ_AT_START)
        and name != ENCODING
        and not (name.startswith("L") and value.lower().endswith(("utf-8", "utf8")))
    }


def become(request: dict[str, Any], descriptors: array.array[int]) -> None:
    """Make this new process what the client is: its descriptors, streams, folder, environment, limits and signals."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in PASSED_ON:
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in request["ignored"] else usual)
    os.environ.clear()
    os.environ.update(request["environment"])
    given = dict(zip(request["descriptors"], descriptors, strict=True))
    for descriptor, name in zip(STANDARD, ("stdin", "stdout", "stderr"), strict=True):
        stream = None
        if descriptor in given:
            os.dup2(given[descriptor], descriptor)
            stream = standard_stream(descriptor)
        else:
            os.close(descriptor)
        for each in (name, f"__{name}__"):
            setattr(sys, each, stream)
    os.closerange(len(STANDARD), 256)
    os.chdir(request["folder"])
    os.umask(request["mask"])
    resource.setrlimit(resource.RLIMIT_FSIZE, request["file_size"])


def standard_stream(descriptor: int) -> TextIO:
    """Open a standard stream as Python does when it starts in the locale C.UTF-8."""
    buffering = 1 if descriptor == 2 or os.isatty(descriptor) else -1
    encoding = os.environ.get(ENCODING)
    errors = "backslashreplace" if descriptor == 2 else "strict" if encoding else "surrogateescape"
    return open(descriptor, "w" if descriptor else "r", buffering, encoding or "utf-8", errors, closefd=False)


def run(arguments: list[str]) -> NoReturn:
    """Run a module or code as `python -m` and `python -c` do, and end this process as they end."""
    code: Any = 0
    try:
        while arguments[0] == "-W":
            warnings.simplefilter(arguments[1])  # type: ignore[arg-type]
            arguments = arguments[2:]
        how, what, *rest = arguments
        sys.argv = [how, *rest]
        sys.path[0] = "" if how == "-c" else os.getcwd()
        if how == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(what, "<string>", "exec"), sys.modules["__main__"].__dict__)
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException as error:
        traceback.print_exception(error)
        code = 1
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]
    os._exit(code)
