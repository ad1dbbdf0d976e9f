"""The screen of a session: its parts in the session's layout, then the claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import SessionReport
from relu_demo.session.lines import BESIDE, DIFFERENCES, MOMENTS
from relu_demo.views.branches import against_reference
from relu_demo.views.claims import claims
from relu_demo.views.fitting import stacked
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
        session = self.report.trace.session
        yield from header(session.title, self.report)
        yield from LAYOUTS[session.layout](self.report, console, options)


def moments(report: SessionReport, _: Console, __: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield each part's lines and the table of its moments."""
    for part in report.trace.parts:
        yield from section(part.title, code(part.steps))
        if part.looks:
            yield from ("", Moments(part))
    yield from ("", *claims(report.findings))


def beside(report: SessionReport, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield the lines of parts without looks; of the others the answers, and tables beside each other if they fit."""
    for part in report.trace.parts:
        if not part.looks:
            yield from ("", code(part.steps))
    parts = [part for part in report.trace.parts if part.looks]
    yield from ("", *glance(parts, options.max_width), "")
    titled = [(Text(part.title, style="bold"), Moments(part)) for part in parts]
    share = options.max_width // len(titled) - APART
    if any(console.measure(table).minimum > share for _, table in titled):
        yield from stacked(Group(*each) for each in titled)
    else:
        yield row_of(titled, share)
    yield from ("", *claims(report.findings))


def row_of(titled: Sequence[tuple[Text, Moments]], share: int) -> Table:
    """Return titled tables beside each other, each with the same share of the width."""
    grid = Table.grid(padding=(0, APART, 0, 0))
    for _ in titled:
        grid.add_column(width=share)
    for row in zip(*titled, strict=True):
        grid.add_row(*row)
    return grid


Layout = Callable[[SessionReport, Console, ConsoleOptions], Iterator[RenderableType]]

LAYOUTS: Mapping[str, Layout] = {MOMENTS: moments, DIFFERENCES: against_reference, BESIDE: beside}
"""What draws a report below its header, by its session's layout."""
