"""The run of a scenario: PyTorch loaded, the report made and shown, every fault a click exception."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from relu_demo.errors import LoadError
from relu_demo.machine.pytorch import load_torch
from relu_demo.views import SCREENS, saved, view_named

if TYPE_CHECKING:
    from pathlib import Path

    from relu_demo.views import AnyReport

CLOSED_PIPE = (errno.EPIPE, errno.EINVAL)
"""How Unix and Windows say that nobody reads on."""


@dataclass(frozen=True)
class Showing:
    """How a report is shown: in the view of that name, on standard output or saved to a file.

    With `traceback` an error of the user's own network is shown whole before the line that tells it.
    """

    view: str
    save: Path | None = None
    traceback: bool = False


def progress_bar(doing: str, done: int, of: int) -> None:
    """Draws a progress bar on stderr, where that is a terminal, and takes it away when all is done.

    Not click's, whose bar is a loop of its own: here the one who measures says when nothing is being measured.
    """
    if sys.stderr is not None and sys.stderr.isatty():
        filled = 30 * done // max(of, 1)
        text = f"\r{doing} [{'#' * filled}{'-' * (30 - filled)}]"
        sys.stderr.write(text if done < of else "\r" + " " * len(text) + "\r")
        sys.stderr.flush()


def check_save(save: Path, view: str) -> None:
    """Raises a usage error where the view has no screen, or where its file cannot be written."""
    from relu_demo.cli.output import check_place

    if view not in SCREENS:
        raise click.UsageError(f"--{view} has no screen to save; give --save without it, or --{view} > FILE")
    try:
        check_place(save)
    except OSError as error:
        message = f"'{save}' cannot be written ({error.strerror}); give a file in a folder that you can write to"
        raise click.BadParameter(message, param_hint="'--save'") from error


def run_scenario(run: Callable[[Any], AnyReport], show: Showing) -> int:
    """Loads PyTorch, has the scenario run, shows its report and gives the exit code."""
    try:
        load_torch()
    except LoadError as error:
        raise click.ClickException(str(error)) from error

    import traceback

    from relu_demo import scenarios
    from relu_demo.cli.output import replace
    from relu_demo.errors import BadInput, LineError, NetworkError, SetupError

    try:
        report = run(scenarios)
    except SetupError as error:
        raise click.BadParameter(str(error), param_hint=f"'{error.option}'") from error
    except NetworkError as error:
        if show.traceback and error.__cause__ is not None:
            print("".join(traceback.format_exception(error.__cause__)), file=sys.stderr, end="")
        more = "" if show.traceback else "; --traceback shows the rest"
        raise click.ClickException(f"an error of your own code: {error}{more}") from error
    except BadInput as error:
        raise click.BadParameter(str(error), param_hint="'--check'") from error
    except LineError as error:
        raise click.ClickException(str(error)) from error
    if show.save:
        replace(show.save, saved(show.view, report, show.save.suffix.lower()))
        if sys.stderr is not None and sys.stderr.isatty():
            print(f"Saved to {show.save}", file=sys.stderr)
    else:
        deliver(report, show.view)
    return 0 if report.ok else 1


def deliver(report: AnyReport, view: str) -> None:
    """Shows the report on standard output. A closed pipe is no fault: its reader has seen enough."""
    if sys.stdout is None:
        raise click.ClickException("the output cannot be written: standard output is closed")
    try:
        view_named(view).show(report, sys.stdout)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in CLOSED_PIPE:
            raise
