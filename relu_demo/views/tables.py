"""The tables: each kind of report on its screen."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, TextIO

from rich.console import RenderableType

from relu_demo.memory.report import MemoryReport
from relu_demo.network.report import CheckReport
from relu_demo.views.screen import notebook, write
from relu_demo.watching.report import WatchReport

if TYPE_CHECKING:
    from relu_demo.views.reports import AnyReport


def show(report: AnyReport, out: TextIO) -> None:
    """Write the screen."""
    write(screen(report), out)


def screen(report: AnyReport) -> RenderableType:
    """Return the screen of a report. Import only what this kind needs."""
    if isinstance(report, CheckReport):
        from relu_demo.views.check import CheckScreen

        return CheckScreen(report)
    if isinstance(report, MemoryReport):
        from relu_demo.views.memory import MemoryScreen

        return MemoryScreen(report)
    if isinstance(report, WatchReport):
        from relu_demo.views.watch import WatchScreen

        return WatchScreen(report)
    from relu_demo.views.session import SessionScreen

    return SessionScreen(report)


def text(report: AnyReport) -> str:
    """Return the screen as plain text."""
    out = StringIO()
    show(report, out)
    return out.getvalue().rstrip("\n")


def html(report: AnyReport) -> str:
    """Return the screen as a notebook shows it."""
    return notebook(screen(report))
