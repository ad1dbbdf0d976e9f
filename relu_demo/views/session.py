"""The screen of a session: its parts in the session's layout, then the claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import SessionReport
from relu_demo.replay.trace import TracedPart
from relu_demo.session.lines import BESIDE, DIFFERENCES
from relu_demo.views.claims import claims
from relu_demo.views.differences import Differences
from relu_demo.views.fitting import stacked
from relu_demo.views.flow import flow
from relu_demo.views.glance import Glance
from relu_demo.views.moments import Moments
from relu_demo.views.parts import code, header

APART = 3
"""Characters between two tables beside each other."""


@dataclass(frozen=True)
class SessionScreen:
    """The whole screen of a session's replay."""

    report: SessionReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        trace = self.report.trace
        layout = trace.session.layout
        yield from header(trace.session.title, self.report)
        if layout == BESIDE:
            looked_at = [part for part in trace.parts if part.looks]
            for part in trace.parts:
                if not part.looks:
                    yield from ("", code(part.steps))
            yield from ("", Glance(looked_at), "", Beside(looked_at))
        else:
            for part in trace.parts:
                yield from ("", Text(part.title, style="bold"))
                yield from self.differences(part, options) if layout == DIFFERENCES else moments(part)
        yield from ("", *claims(self.report.findings))

    def differences(self, part: TracedPart, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield a part's lines except those that only look, who reads and who writes, and how far its looks are off."""
        yield code([step for step in part.steps if not step.line.moment])
        if (picture := flow(part, self.report.trace.session.pictured, options.ascii_only)) is not None:
            yield from ("", picture)
        if part.looks:
            yield from ("", Differences(list(part.looks.values())))


def moments(part: TracedPart) -> Iterator[RenderableType]:
    """Yield a part's lines and the table of its moments."""
    yield code(part.steps)
    if part.looks:
        yield from ("", Moments(part))


@dataclass(frozen=True)
class Beside:
    """The tables of several parts, beside each other if each has room, else stacked."""

    parts: Sequence[TracedPart]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        titled = [(Text(part.title, style="bold"), Moments(part)) for part in self.parts]
        share = options.max_width // len(titled) - APART
        beside = Table.grid(padding=(0, APART, 0, 0))
        for _ in titled:
            beside.add_column(width=share)
        for row in zip(*titled, strict=True):
            beside.add_row(*row)
        fits = all(console.measure(table).minimum <= share for _, table in titled)
        yield from [beside] if fits else stacked(Group(*each) for each in titled)
