"""`--watch`: the user's program runs under watch as Python would run it, and what was found goes to standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import NoReturn, TextIO

from relu_demo.cli.command import Asked
from relu_demo.cli.output import save
from relu_demo.errors import BadInput
from relu_demo.machine.pytorch import load_torch
from relu_demo.request import Watch
from relu_demo.script.run import Ended, end, run
from relu_demo.script.stdout import stdout_for_report
from relu_demo.script.target import find
from relu_demo.views import TABLES, view_named
from relu_demo.watching.report import WatchReport


def watched(asked: Asked, request: Watch) -> Callable[[], NoReturn]:
    """
    Run the program of a request under watch, and report. Return what ends this process as the program's would end.

    Raise BadInput if the target cannot be run. `--json` writes to standard output, and what the program writes there
    goes to standard error; every other view goes to standard error, and standard output stays the program's.
    """
    try:
        target = find(request.target)
    except BadInput as error:
        error.option = f"--{request.scenario}"
        raise
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

    try:
        ended = run(target, request.arguments, watching, None if to_stdout else report)
    except BadInput as error:
        error.option = f"--{request.scenario}"
        raise
    report()
    code = exit_code(ended, found=bool(watching.report.findings))

    def finish() -> NoReturn:
        with stack:
            end(ended, code)

    return finish


def exit_code(ended: Ended, found: bool) -> int:
    """Return 130 after Ctrl-C, 1 if anything was found, and else the program's own exit code."""
    return 130 if ended.interrupted else 1 if found else ended.code
