"""`watch`: the user's program runs under watch as Python would run it, and what was found goes to standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TextIO

from relu_demo.cli.command import Asked
from relu_demo.cli.output import save
from relu_demo.cli.targets import Function, Module, Script, find_program
from relu_demo.errors import BadInput
from relu_demo.machine.pytorch import load_torch
from relu_demo.request import Watch
from relu_demo.script import target as running
from relu_demo.script.run import Ended, end, run
from relu_demo.script.stdout import stdout_for_report
from relu_demo.views import TABLES, view_named
from relu_demo.watching.report import WatchReport


def watched(asked: Asked, request: Watch) -> Callable[[], NoReturn]:
    """
    Run the program of a request under watch, and report. Return what ends this process as the program's would end.

    Raise BadInput if there is no such program. `--json` writes to standard output, and what the program writes there
    goes to standard error; every other view goes to standard error, and standard output stays the program's.
    """
    target, arguments = runnable(request)
    load_torch()
    # Imported before the program can put a module of its own in the place of one that these need.
    from relu_demo.watching.watch import Watch as Watching

    view = view_named("watch" if asked.view == TABLES else asked.view)
    stack = ExitStack()
    to_stdout = asked.view == "json" and not asked.save
    out: TextIO | None = stack.enter_context(stdout_for_report()) if to_stdout else None
    watching = Watching(raising=False)
    shown: list[WatchReport] = []

    def report(error: BaseException | None = None) -> None:
        found = replace(watching.report, request=request)
        if shown and len(shown[-1].findings) == len(found.findings):
            return  # it stands above the program's traceback
        shown.append(found)
        if asked.save:
            save(found, asked.view, asked.save, asked.light)
        elif out is not None or sys.stderr is not None:
            view.show(found, out or sys.stderr)

    ended = run(target, arguments, watching, None if to_stdout else report)
    report()
    code = exit_code(ended, found=bool(watching.report.findings))

    def finish() -> NoReturn:
        with stack:
            end(ended, code)

    return finish


def exit_code(ended: Ended, found: bool) -> int:
    """Return 130 after Ctrl-C, 1 if anything was found, and else the program's own exit code."""
    return 130 if ended.interrupted else 1 if found else ended.code


def runnable(request: Watch) -> tuple[running.Target, tuple[str, ...]]:
    """Return what a request runs in this process, and its arguments. Raise BadInput for any other command line."""
    program = find_program(request.program)
    if isinstance(program, Module):
        return running.Module(program.name), request.program[2:]
    if isinstance(program, Function):
        return running.Function(program.source, program.name), request.program[1:]
    if isinstance(program, Script):
        try:
            return running.Script(program.path, Path(program.path).read_bytes()), request.program[1:]
        except OSError as error:
            raise BadInput(f"{program.path} cannot be read ({error.strerror}); give another file") from error
    raise BadInput(f"{program.words[0]} cannot be watched yet; give train.py, -m package.module or my_file.py:step")
