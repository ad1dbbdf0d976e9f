"""The run: a command line in, an exit code out. PyTorch is loaded, the request answered, its report shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import click

from relu_demo.cli.command import Asked, command
from relu_demo.errors import Error, lacks_memory
from relu_demo.request import Check, Measure, Replay, Watch

if TYPE_CHECKING:
    from relu_demo.views.reports import AnyReport

DOING = {"memory": "Measuring", "check": "Checking"}
"""What the progress bar of a scenario says."""


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code. Write to `sys.stdout` and `sys.stderr`.

    After `--watch` raise SystemExit instead, which has to reach Python: it ends the process as the program's ends.
    """
    asked = None
    finish: Callable[[], NoReturn] | None = None
    try:
        asked = command.main(list(arguments), prog_name="relu-demo", standalone_mode=False)
        if not isinstance(asked, Asked):  # --help and --version ask nothing more
            return 0
        if not isinstance(asked.request, Watch):
            return answered(asked, asked.request)
        from relu_demo.cli.watching import watched

        finish = watched(asked, asked.request)
    except (*FORESEEN, SystemExit) as error:
        if isinstance(error, SystemExit) and asked is not None:  # a process that the watched program has forked
            raise
        return told(error, traceback=isinstance(asked, Asked) and asked.traceback)
    return finish()


FORESEEN = (click.Abort, KeyboardInterrupt, click.ClickException, Error, OSError, MemoryError, RuntimeError)
"""What is told in one line. Of Python's and PyTorch's own errors, want of memory alone."""


def told(error: BaseException, traceback: bool) -> int:
    """Say what went wrong, in one line, and return the exit code. Raise the error again if nobody foresaw it."""
    if isinstance(error, SystemExit):  # how click ends shell completion, and --help into a closed pipe
        return error.code if isinstance(error.code, int) else 0
    if isinstance(error, click.Abort):
        return 130
    if isinstance(error, KeyboardInterrupt):
        say("")  # the shell's prompt goes below the terminal's ^C
        return 130
    if isinstance(error, click.ClickException):
        return fault(error.format_message())
    if isinstance(error, Error):
        return fault(words(error, traceback))
    if isinstance(error, OSError):
        return fault(f"the output cannot be written: {error.strerror}")
    if not lacks_memory(error):
        raise error
    return fault("there is not enough memory for this; give a smaller --shape or fewer --values")


def answered(asked: Asked, request: Replay | Measure | Check) -> int:
    """Load PyTorch, answer the request, show the report, and return the exit code."""
    from relu_demo.cli.output import deliver, save
    from relu_demo.machine.pytorch import load_torch
    from relu_demo.network.report import CheckReport

    load_torch()
    report: AnyReport
    if asked.view == "step" and isinstance(request, Replay):
        from relu_demo.cli.stepping import step
        from relu_demo.scenarios import stepped

        report = step(stepped(request), sys.stdout)
    else:
        from relu_demo.scenarios import answer

        report = answer(request, partial(progress_bar, DOING.get(request.scenario, "")))
    if asked.save:
        save(report, asked.view, asked.save, asked.light)
    else:
        deliver(report, asked.view)
    if report.ok:
        return 0
    return 3 if isinstance(report, CheckReport) and not report.has_fault else 1


def words(error: Error, traceback: bool) -> str:
    """Return what to say of an error. With `traceback`, print that of the user's own code on stderr first."""
    message = f"{error.prefix}{error}"
    if error.has_traceback and not traceback:
        message += "; --traceback shows the rest"
    elif error.has_traceback and error.__cause__ is not None:
        from traceback import format_exception

        say("".join(format_exception(error.__cause__)).rstrip("\n"))
    return click.BadParameter(message, param_hint=f"'{error.option}'").format_message() if error.option else message


def fault(message: str) -> int:
    """Say on stderr what is wrong, in one line whatever it quotes. Return the exit code for it."""
    line = " ".join(message.split())
    readable = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line)
    say(f"relu-demo: {readable}")
    return 2


def say(text: str) -> None:
    """Write lines to stderr, if there is one that can be written."""
    if sys.stderr is not None:  # print would take standard output instead
        with suppress(OSError):
            print(text, file=sys.stderr)


def progress_bar(doing: str, done: int, of: int) -> None:
    """Draw a progress bar on stderr, where that is a terminal, and take it away when all is done.

    click's bar goes around the loop that works. This one is drawn by the call, between two measurements.
    """
    if sys.stderr is not None and sys.stderr.isatty():
        filled = 30 * done // max(of, 1)
        text = f"\r{doing} [{'#' * filled}{'-' * (30 - filled)}]"
        sys.stderr.write(text if done < of else "\r" + " " * len(text) + "\r")
        sys.stderr.flush()
