"""The tables: the screen of a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import SessionReport
from relu_demo.memory.report import MemoryReport
from relu_demo.network.report import CheckReport
from relu_demo.replay.trace import TracedPart
from relu_demo.request import command_line
from relu_demo.session.lines import BESIDE, DIFFERENCES
from relu_demo.views.claims import claims
from relu_demo.views.differences import Differences
from relu_demo.views.flow import flow
from relu_demo.views.glance import Glance
from relu_demo.views.moments import Moments
from relu_demo.views.parts import code, header
from relu_demo.views.screen import show as write

if TYPE_CHECKING:
    from relu_demo.views import AnyReport

APART = 3
"""Between two tables beside each other, in characters."""


def show(report: AnyReport, out: TextIO) -> None:
    """Writes the screen."""
    write(screen(report), out)


def screen(report: AnyReport) -> RenderableType:
    """The whole screen of a report. What another kind of report needs is not imported."""
    if isinstance(report, CheckReport):
        from relu_demo.views.check import CheckScreen

        return CheckScreen(report)
    if isinstance(report, MemoryReport):
        from relu_demo.views.memory import MemoryScreen

        return MemoryScreen(report)
    return SessionScreen(report)


@dataclass(frozen=True)
class SessionScreen:
    """The whole screen of a session's replay."""

    report: SessionReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        trace = self.report.trace
        yield from header(trace.session.title, command_line(self.report.request), trace.torch_version)
        if trace.session.layout == DIFFERENCES:
            for part in trace.parts:
                done = [step for step in part.steps if not step.line.moment]
                yield from ("", Text(part.title, style="bold"), code(done))
                if (picture := flow(part, trace.session.pictured, options.ascii_only)) is not None:
                    yield from ("", picture)
                if part.looks:
                    yield from ("", Differences(list(part.looks.values())))
        elif trace.session.layout == BESIDE:
            for part in trace.parts:
                if not part.looks:
                    yield from ("", code(part.steps))
            halves = [part for part in trace.parts if part.looks]
            yield from ("", Glance(halves), "", Halves(halves))
        else:
            for part in trace.parts:
                yield from ("", Text(part.title, style="bold"), code(part.steps))
                if part.looks:
                    yield from ("", Moments(part))
        yield from ("", *claims(self.report.findings))


@dataclass(frozen=True)
class Halves:
    """The tables of several parts, beside each other where there is room, else below each other."""

    parts: Sequence[TracedPart]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        titled = [(Text(part.title, style="bold"), Moments(part)) for part in self.parts]
        share = options.max_width // len(titled)
        if all(console.measure(moments).minimum <= share - APART for _, moments in titled):
            table = Table.grid(padding=(0, APART, 0, 0))
            for _ in titled:
                table.add_column(width=share - APART)
            table.add_row(*(title for title, _ in titled))
            table.add_row(*(moments for _, moments in titled))
            yield table
        else:
            for number, (title, moments) in enumerate(titled):
                yield from ("", title, moments) if number else (title, moments)
