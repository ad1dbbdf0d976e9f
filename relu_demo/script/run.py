"""Runs the user's script as Python itself would, inside a context that watches it, and gives how it ended.

ended = run(find("train.py"), ["--epochs", "1"], watching)
...                          # the program's own modules, streams and working directory are in place: report here
end(ended, ended.code)       # and in place again what the script had, for what Python runs at the very end
"""

from __future__ import annotations

import atexit
import builtins
import importlib
import os
import runpy
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn

from relu_demo.errors import words_of
from relu_demo.machine.imports import import_file
from relu_demo.script.target import Function, Module, Script, Target, function_in, keeps_folders_away
from relu_demo.script.world import World, set_modules, shadowed

OURS = str(Path(__file__).parents[1]) + os.sep
"""Where the frames are that no traceback of the user's shows."""
IMPORT = importlib.import_module.__code__


@dataclass(frozen=True)
class Ended:
    """How a script ended, after its threads and what it gave to `atexit`."""

    code: int
    """What `sys.exit` of a process takes; 130 where Ctrl-C ended it."""
    error: BaseException | None
    """The exception that it died by, whose traceback stands on standard error already."""
    interrupted: bool
    """Whether Ctrl-C ended it, or ended the wait for its threads."""
    back_to_script: Callable[[], None] = field(repr=False, compare=False)
    """Puts the script's modules, streams and working directory back."""


def run(
    target: Target,
    arguments: Sequence[str],
    watching: AbstractContextManager[Any],
    above_traceback: Callable[[BaseException], None] | None = None,
) -> Ended:
    """
    Run a target with these arguments, and everything of it inside `watching`: its threads, and its `atexit` functions.

    `above_traceback` is called with the exception that the script dies by, before that is shown. `watching` sees no
    exception of the script's. Raise BadInput where the function of a target cannot be called. In a process that the
    script has forked, raise SystemExit instead of returning.

    Call it outside of any `except` block, where Python would show the exception caught there as context.
    """
    process = os.getpid()
    ours = World.now()
    with watching:
        main = _make_place(target, arguments)
        back: Callable[[], None] | None = None
        try:
            error = _error_of(target, main)
            if not isinstance(target, Module):
                # Where Python runs a file, standard output is out before the traceback.
                _flush(getattr(sys, "stderr", None), getattr(sys, "stdout", None))
            code = _show(error, ours, above_traceback)
            interrupted = isinstance(error, KeyboardInterrupt)
            if isinstance(error, SystemExit):
                error = None  # frees, as Python does, what the frames of the script still hold
            elif isinstance(target, Script):
                # As Python does: https://github.com/python/cpython/blob/v3.13.0/Python/pythonrun.c#L510
                for name in ("__file__", "__cached__"):
                    vars(main).pop(name, None)
            interrupted |= _wait_for_threads()
            with suppress(BaseException):
                atexit._run_exitfuncs()
            _flush(sys.__stderr__, sys.__stdout__)  # before the report; not the script's own streams once more
        finally:
            back = ours.restore()
    ended = Ended(code, error, interrupted, back)
    if os.getpid() != process:
        end(ended, code)
    return ended


def end(ended: Ended, code: int) -> NoReturn:
    """Put the script's world back and raise SystemExit, which has to reach Python: it still runs `__del__` methods."""
    ended.back_to_script()
    raise SystemExit(code)


def _make_place(target: Target, arguments: Sequence[str]) -> ModuleType:
    """Change `sys` and `sys.modules` to what Python starts a target with. Return the new `__main__`."""
    old = sys.modules["__main__"]
    head = _interpreter()
    World.give_own_lists()
    if isinstance(target, Module):
        sys.argv = ["-m", *arguments]  # runpy sets the file's path once it is found
        sys.orig_argv = [*head, "-m", target.name, *arguments]
    else:
        named = target.path if isinstance(target, Script) else target.source
        sys.argv = [named, *arguments]
        sys.orig_argv = [*head, named, *arguments]
    folder = target.folder
    if not keeps_folders_away():
        own = {"", os.getcwd(), os.path.dirname(os.path.realpath(getattr(old, "__file__", None) or ""))}
        sys.path[: 1 if sys.path and sys.path[0] in own else 0] = [folder]
        set_modules(shadowed(folder), {})
    main = sys.modules["__main__"] = _new_main(target, vars(old))
    if "__mp_main__" in sys.modules:  # set by multiprocessing when it is imported; pickles of its processes name it
        sys.modules["__mp_main__"] = main
    return main


def _interpreter() -> list[str]:
    """Return the start of this process's command line: Python and its options, without the program."""
    own = len(sys.argv) - 1
    if sys.orig_argv[len(sys.orig_argv) - own :] != sys.argv[1:]:
        return [sys.executable]
    head = sys.orig_argv[: len(sys.orig_argv) - own - 1]
    return head[:-1] if len(head) > 1 and head[-1] == "-m" else head


def _new_main(target: Target, old: dict[str, Any]) -> ModuleType:
    """Return an empty `__main__` as Python makes it."""
    main = ModuleType("__main__")
    main.__loader__ = importlib.machinery.BuiltinImporter
    if "__annotations__" in old:  # not from Python 3.14 on
        main.__annotations__ = {}
    main.__builtins__ = builtins  # type: ignore[attr-defined]
    if isinstance(target, Script):
        main.__file__ = _absolute(target.path)
        main.__loader__ = SourceFileLoader("__main__", main.__file__)
        main.__cached__ = None  # type: ignore[attr-defined]
    return main


def _absolute(path: str) -> str:
    """Return the path from the root on, as Python makes it: with all the dots that were given."""
    return path if os.path.isabs(path) else os.path.join(os.getcwd(), path)


def _error_of(target: Target, main: ModuleType) -> BaseException | None:
    """
    Run the target in the place made for it, a script in `main`, and return the exception that ends it.

    Raise BadInput where the function of a target is not there or takes arguments.
    """
    if isinstance(target, Script):
        return _caught(lambda: exec(_compiled(target), vars(main)))
    if isinstance(target, Module):
        return _caught(lambda: runpy._run_module_as_main(target.name))  # type: ignore[attr-defined]
    modules: list[ModuleType] = []
    error = _caught(lambda: modules.append(_imported(target)))
    return error or _caught(function_in(modules[0], target))


def _compiled(script: Script) -> Any:
    return compile(script.code, _absolute(script.path), "exec", dont_inherit=True)


def _imported(target: Function) -> ModuleType:
    return import_file(Path(target.source)) if target.is_file else importlib.import_module(target.source)


def _caught(call: Callable[[], object]) -> BaseException | None:
    """Call it and return what it raises, with a traceback that begins and goes on in the user's code."""
    try:
        call()
    except BaseException as error:
        _hide_frames(error)
        return error
    return None


def _show(error: BaseException | None, ours: World, above_traceback: Callable[[BaseException], None] | None) -> int:
    """Say of an exception what Python says when one ends a script, and return the exit code."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        return _code_of(error)
    if above_traceback is not None:
        back = ours.restore()
        try:
            above_traceback(error)
        finally:
            back()
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    hook = getattr(sys, "excepthook", None)
    sys.audit("sys.excepthook", hook, type(error), error, error.__traceback__)
    if hook is None:
        _write("sys.excepthook is missing\n")
        _print(error)
    else:
        second = _caught(lambda: hook(type(error), error, error.__traceback__))
        if isinstance(second, SystemExit):
            return _code_of(second)
        if second is not None:
            _write("Error in sys.excepthook:\n")
            _print(second)
            _write("\nOriginal exception was:\n")
            _print(error)
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def _code_of(end: SystemExit) -> int:
    """Return the exit code of a SystemExit; print what it has instead of one."""
    code = getattr(end, "code", None)
    if code is None:
        return 0
    if isinstance(code, int):
        return int(code)
    _write(code)
    _write("\n")
    return 1


def _print(error: BaseException) -> None:
    sys.__excepthook__(type(error), error, error.__traceback__)


def _write(value: object) -> None:
    """Write as Python itself does: on `sys.stderr`, or on descriptor 2 where there is none."""
    stream = getattr(sys, "stderr", None)
    with suppress(BaseException):  # the stream and the value may be anybody's
        if stream is None:
            os.write(2, str(value).encode("utf-8", "backslashreplace"))
        else:
            stream.write(str(value))


def _wait_for_threads() -> bool:
    """Wait for threads that are no daemons, as Python does at its end. Return whether Ctrl-C ended the wait."""
    error = _caught(threading._shutdown)  # type: ignore[attr-defined]
    if error is not None:
        on = " on threading shutdown" if sys.version_info >= (3, 14) else " in"
        _write(f"Exception ignored{on}: {threading!r}\nTraceback (most recent call last):\n")
        _write("".join(traceback.format_tb(error.__traceback__)))
        _write(f"{type(error).__qualname__}: {words_of(error)}\n")
    return isinstance(error, KeyboardInterrupt)


def _flush(*streams: Any) -> None:
    """Flush each stream. Where that fails, Python says so when it ends."""
    for stream in streams:
        with suppress(BaseException):
            stream.flush()


def _hide_frames(error: BaseException) -> None:
    """Take the frames that no script without a watch has out of the tracebacks of an exception and all it came from."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = _users(one.__traceback__)
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def _users(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of this program, and those through which PyTorch calls a mode of it."""
    kept: list[TracebackType] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(OURS):
            # An import by name shows importlib where the statement `import` does not.
            if kept or not (code is IMPORT or code.co_filename.startswith("<frozen importlib")):
                kept.append(trace)
        elif kept and kept[-1].tb_frame.f_code.co_name == "handle_torch_function":
            del kept[-2:]  # and the function of torch that called it, which a mode calls again
        trace = trace.tb_next
    below: TracebackType | None = None
    for one in reversed(kept):
        one.tb_next = below
        below = one
    return below
