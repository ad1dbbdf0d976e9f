"""The screen of a session: its answer, in the session's layout, then the claims and the conclusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from relu_demo.claims.report import SessionReport
from relu_demo.replay.trace import TracedPart
from relu_demo.session.lines import ANSWER, BESIDE, DIFFERENCES, MOMENTS
from relu_demo.views.branches import against_reference
from relu_demo.views.chosen import moments_of, side_by_side
from relu_demo.views.claims import Claims
from relu_demo.views.conclusion import conclusion
from relu_demo.views.fitting import first_fitting
from relu_demo.views.legend import Legend
from relu_demo.views.lines import Lines
from relu_demo.views.moments import Moments
from relu_demo.views.parts import header, section

MORE = "More: --compare, --repl, --branches, --memory, check, watch, --help"
"""Stands on the short screen."""

SHORT_LEGEND = Legend(("*", "version"))
"""What is explained where there are few lines."""

HEADER, PROMPT = 2, 1
"""Lines above what a layout yields, and below it."""


@dataclass(frozen=True)
class SessionScreen:
    """The whole screen of a session's replay."""

    report: SessionReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        session = self.report.trace.session
        yield from header(session.title, self.report)
        yield from LAYOUTS[session.layout](self.report, console, options)


def answer(report: SessionReport, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield the answer for a screen of 24 lines: one short table, and the claims only if one of them fails."""
    parts = with_looks(report)
    for _title, table in together(parts, console, options, short=True):
        yield table
    yield SHORT_LEGEND
    yield Text(MORE, style="dim")
    if not report.ok or report.request.evidence:
        yield Claims(report.claims, report.request.evidence)
    yield conclusion(parts, report.claims)


def moments(report: SessionReport, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield the table of each part with looks, then the lines that ran, the claims and the conclusion."""
    yield from fitted(report, console, options, each)


def beside(report: SessionReport, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield one table of all parts with looks, then the lines that ran, the claims and the conclusion."""
    yield from fitted(report, console, options, together)


class Tables(Protocol):
    """Makes the tables of parts, each under a title, which may be empty."""

    def __call__(
        self, parts: Sequence[TracedPart], console: Console, options: ConsoleOptions, short: bool = False
    ) -> Iterator[tuple[str, Moments]]:
        """Yield the tables, for a screen of few lines if it is `short`."""


def fitted(
    report: SessionReport, console: Console, options: ConsoleOptions, tables: Tables
) -> Iterator[RenderableType]:
    """Yield the tables, the lines that ran, the claims and the conclusion.

    In a terminal with too few lines for that, the tables come last, and the claims that hold are left out.
    """
    parts = with_looks(report)
    end = conclusion(parts, report.claims)

    def titled(short: bool) -> Iterator[RenderableType]:
        for title, table in tables(parts, console, options, short):
            yield from (*(section(title) if title else ()), table)
        yield SHORT_LEGEND if short else Legend()

    def fits(pieces: Sequence[RenderableType], others: int) -> bool:
        if not console.is_terminal:
            return True
        lines = sum(len(console.render_lines(piece, options, pad=False)) for piece in pieces)
        return lines + others <= console.height

    ran = Lines(tuple(report.trace.parts.values()))
    usual = [*titled(short=False), "", ran, "", Claims(report.claims, report.request.evidence), end]
    if fits(usual, HEADER + PROMPT):
        yield from usual
        return
    yield from (ran, Claims(report.claims, folded=True), "")
    yield from first_fitting(([*titled(short), end] for short in (False, True)), lambda pieces: fits(pieces, PROMPT))


Layout = Callable[[SessionReport, Console, ConsoleOptions], Iterator[RenderableType]]

LAYOUTS: Mapping[str, Layout] = {ANSWER: answer, MOMENTS: moments, BESIDE: beside, DIFFERENCES: against_reference}
"""What draws a report below its header, by its session's layout."""


def with_looks(report: SessionReport) -> list[TracedPart]:
    """Return the parts that look at tensors."""
    return [part for part in report.trace.parts.values() if part.moments]


def each(
    parts: Sequence[TracedPart], console: Console, options: ConsoleOptions, short: bool = False
) -> Iterator[tuple[str, Moments]]:
    """Yield a table for each part, under its title if there are several."""
    for part in parts:
        yield (part.title if len(parts) > 1 else ""), Moments(moments_of(part), short)


def together(
    parts: Sequence[TracedPart], console: Console, options: ConsoleOptions, short: bool = False
) -> Iterator[tuple[str, Moments]]:
    """Yield the columns of all parts as one table without a title, or if they cannot share one, those of each part.

    What was made of a tensor has a column of its own if that fits beside the others.
    """
    apart, columns = side_by_side(parts, apart=True), side_by_side(parts)
    if apart is None or columns is None:
        yield from each(parts, console, options, short)
        return
    wide = Moments(apart, short)
    yield "", wide if wide.is_one_table(console, options) else Moments(columns, short)
