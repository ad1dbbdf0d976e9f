"""The tables: each kind of report on its screen."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, TextIO

from rich.console import RenderableType

from relu_demo.scenarios import kind_answered_by
from relu_demo.views import function_named
from relu_demo.views.screen import notebook, write

if TYPE_CHECKING:
    from relu_demo.scenarios import AnyReport


def screen_of(report: AnyReport) -> RenderableType:
    """Return the screen of a report. Import only what its kind needs."""
    screen: RenderableType = function_named(kind_answered_by(report).screen)(report)
    return screen


def write_tables(report: AnyReport, out: TextIO) -> None:
    """Write the screen."""
    write(screen_of(report), out)


def text_of_tables(report: AnyReport) -> str:
    """Return the screen as plain text."""
    out = StringIO()
    write_tables(report, out)
    return out.getvalue().rstrip("\n")


def html_of_tables(report: AnyReport) -> str:
    """Return the screen as a notebook shows it."""
    return notebook(screen_of(report))
