"""The screen of a session: its answer, in the session's layout, then the claims and the conclusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from relu_demo.claims.report import SessionReport
from relu_demo.replay.trace import TracedPart
from relu_demo.session.lines import ANSWER, BESIDE, DIFFERENCES, MOMENTS
from relu_demo.views.branches import against_reference
from relu_demo.views.chosen import Column, moments_of, side_by_side
from relu_demo.views.claims import Claims
from relu_demo.views.conclusion import conclusion
from relu_demo.views.legend import Legend
from relu_demo.views.lines import Lines
from relu_demo.views.moments import Moments
from relu_demo.views.parts import header, section

MORE = "More: --compare, --repl, --branches, --memory, check, watch, --help"
"""Stands on the short screen."""


@dataclass(frozen=True)
class SessionScreen:
    """The whole screen of a session's replay."""

    report: SessionReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        session = self.report.trace.session
        yield from header(session.title, self.report)
        yield from LAYOUTS[session.layout](self.report, console, options)


def answer(report: SessionReport, _: Console, __: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield the answer for a screen of 24 lines: one short table, and the claims only if one of them fails."""
    parts = with_looks(report)
    for _title, columns in tables(parts):
        yield Moments(columns, short=True)
    yield Legend()
    yield Text(MORE, style="dim")
    if not report.ok or report.request.evidence:
        yield Claims(report.findings, report.request.evidence)
    yield conclusion(parts, report.findings)


def moments(report: SessionReport, _: Console, __: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield the table of each part with looks, then the lines that ran, the claims and the conclusion."""
    parts = with_looks(report)
    for part in parts:
        if len(parts) > 1:
            yield from section(part.title)
        yield Moments(moments_of(part))
    yield from below(report, parts)


def beside(report: SessionReport, _: Console, __: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield one table of all parts with looks, then the lines that ran, the claims and the conclusion."""
    parts = with_looks(report)
    for title, columns in tables(parts):
        if title:
            yield from section(title)
        yield Moments(columns)
    yield from below(report, parts)


def below(report: SessionReport, parts: Sequence[TracedPart]) -> Iterator[RenderableType]:
    """Yield what stands below the tables of a session."""
    yield Legend()
    yield from ("", Lines(report.trace.parts), "")
    yield Claims(report.findings, report.request.evidence)
    yield conclusion(parts, report.findings)


Layout = Callable[[SessionReport, Console, ConsoleOptions], Iterator[RenderableType]]

LAYOUTS: Mapping[str, Layout] = {ANSWER: answer, MOMENTS: moments, BESIDE: beside, DIFFERENCES: against_reference}
"""What draws a report below its header, by its session's layout."""


def with_looks(report: SessionReport) -> list[TracedPart]:
    """Return the parts that look at tensors."""
    return [part for part in report.trace.parts if part.looks]


def tables(parts: Sequence[TracedPart]) -> Iterator[tuple[str, Sequence[Column]]]:
    """Yield the columns of all parts as one table without a title, or if they cannot share one, those of each part."""
    together = side_by_side(parts)
    if together:
        yield "", together
    else:
        yield from ((part.title, moments_of(part)) for part in parts)
