"""The screen of a session: its parts in the session's layout, then the claims."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import SessionReport
from relu_demo.replay.trace import Trace
from relu_demo.session.lines import BESIDE, DIFFERENCES, MOMENTS
from relu_demo.views.claims import claims
from relu_demo.views.differences import differences
from relu_demo.views.fitting import fitting, stacked
from relu_demo.views.flow import flow
from relu_demo.views.glance import glance
from relu_demo.views.moments import Moments
from relu_demo.views.parts import code, header, section

APART = 3
"""Characters between two tables beside each other."""


@dataclass(frozen=True)
class SessionScreen:
    """The whole screen of a session's replay."""

    report: SessionReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        trace = self.report.trace
        yield from header(trace.session.title, self.report)
        yield from LAYOUTS[trace.session.layout](trace, console, options)
        yield from ("", *claims(self.report.findings))


def moments(trace: Trace, _: Console, __: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield each part's lines and the table of its moments."""
    for part in trace.parts:
        yield from section(part.title, code(part.steps))
        if part.looks:
            yield from ("", Moments(part))


def against_reference(trace: Trace, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield each part's lines except those that only look, who reads and who writes, and how far its looks are off."""
    for part in trace.parts:
        yield from section(part.title, code([step for step in part.steps if not step.line.moment]))
        if (picture := flow(part, trace.session.pictured, options.ascii_only)) is not None:
            yield from ("", picture)
        if part.looks:
            yield from ("", *fitting(console, options, differences(part.looks.values())))


def beside(trace: Trace, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield the lines of parts without looks; of the others the answers, and tables beside each other if they fit."""
    for part in trace.parts:
        if not part.looks:
            yield from ("", code(part.steps))
    parts = [part for part in trace.parts if part.looks]
    yield from ("", *glance(parts, options.max_width), "")
    titled = [(Text(part.title, style="bold"), Moments(part)) for part in parts]
    share = options.max_width // len(titled) - APART
    if any(console.measure(table).minimum > share for _, table in titled):
        yield from stacked(Group(*each) for each in titled)
        return
    grid = Table.grid(padding=(0, APART, 0, 0))
    for _ in titled:
        grid.add_column(width=share)
    for row in zip(*titled, strict=True):
        grid.add_row(*row)
    yield grid


LAYOUTS = {MOMENTS: moments, DIFFERENCES: against_reference, BESIDE: beside}
"""What draws the parts of a trace, by its session's layout."""
