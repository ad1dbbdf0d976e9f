"""The screen of a session: its answer, in the session's layout, then the claims and the conclusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import SessionReport
from relu_demo.language import _, clauses, mark
from relu_demo.replay.trace import Step, TracedPart
from relu_demo.session.lines import ANSWER, BESIDE, DIFFERENCES, EXPLAINED, MOMENTS
from relu_demo.views.claims import Claims, endings
from relu_demo.views.columns import moments_of, side_by_side
from relu_demo.views.differences import against_reference, fault_and_cure
from relu_demo.views.moments import Moments
from relu_demo.views.parts import GAP, code, header, laid_out, section

MEANINGS = (
    mark("* changed or zeroed"),
    mark("storage: the numbers' address"),
    mark("version: times overwritten"),
    mark("grad_fn: what backward() calls first; next: what it calls then"),
)
SHORT_MEANINGS = (mark("* changed"), MEANINGS[2])
"""The legend, and that of a short screen."""

MORE = (mark("more: --compare, --branches, --help"),)
"""Stands on the screen of the answer."""

TINTS = mark("blue is below 0, orange above")
"""Stands in the legend where the terminal has colours."""

HEADER, PROMPT = 2, 1
"""Lines above what a layout yields, and below it."""


@dataclass(frozen=True)
class SessionScreen:
    """The whole screen of a session's replay."""

    report: SessionReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        session = self.report.trace.session
        yield from header(_(session.title), self.report)
        yield from LAYOUTS[session.layout](self.report, console, options)


def short_answer(report: SessionReport, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield the answer for a screen of 24 lines: one short table, and the claims only if one of them fails."""
    yield from titled_moments(report, console, options, together=True, short=True, more=MORE)
    if not report.ok or report.request.evidence:
        yield Claims(report.claims, report.request.evidence)
    yield from endings(report)


def moments_and_lines(
    report: SessionReport, console: Console, options: ConsoleOptions, together: bool
) -> Iterator[RenderableType]:
    """Yield the tables of the parts, the lines that ran, the claims and the conclusion.

    On a terminal with too few lines for that, short tables come last, and the claims that hold are left out.
    """
    ran, end = Lines(report.trace.shown), list(endings(report))
    whole = [*titled_moments(report, console, options, together), "", ran, ""]
    whole += [Claims(report.claims, report.request.evidence), *end]
    room = console.height - HEADER - PROMPT
    if not console.is_terminal or sum(len(console.render_lines(piece, options, pad=False)) for piece in whole) <= room:
        yield from whole
        return
    yield from (ran, Claims(report.claims, folded=True), "")
    yield from titled_moments(report, console, options, together, short=True)
    yield from end


Layout = Callable[[SessionReport, Console, ConsoleOptions], Iterator[RenderableType]]

LAYOUTS: Mapping[str, Layout] = {
    ANSWER: short_answer,
    MOMENTS: partial(moments_and_lines, together=False),
    BESIDE: partial(moments_and_lines, together=True),
    DIFFERENCES: against_reference,
    EXPLAINED: fault_and_cure,
}
"""What draws a report below its header, by its session's layout."""


def titled_moments(
    report: SessionReport,
    console: Console,
    options: ConsoleOptions,
    together: bool,
    short: bool = False,
    more: tuple[str, ...] = (),
) -> Iterator[RenderableType]:
    """Yield the tables of the parts that look at tensors, and the legend; with few lines if they are `short`.

    They are one table without a title if they are to stand `together` and begin with the same numbers. There what was
    made of a tensor has a column of its own if that fits beside the others.
    """
    parts = [part for part in report.trace.shown if part.moments]
    apart, columns = side_by_side(parts, apart=True), side_by_side(parts)
    if together and len(parts) > 1 and apart and columns:
        wide = Moments(apart, short)
        yield wide if wide.is_one_table(console, options) else Moments(columns, short)
    else:
        for part in parts:
            yield from section(_(part.title)) if len(parts) > 1 else ()
            yield Moments(moments_of(part), short)
    tinted = console.color_system and not console.no_color
    meanings = (*SHORT_MEANINGS, *more) if short else (*MEANINGS, TINTS) if tinted else MEANINGS
    yield Text(_(clauses(meanings)), style="dim")


@dataclass(frozen=True)
class Lines:
    """The lines of several parts that ran, without imports and those that only look: what these print is in the tables.

    They stand beside each other where that fits.
    """

    parts: Sequence[TracedPart]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from laid_out(console, options, self.layouts())

    def layouts(self) -> Iterator[list[Table]]:
        """Yield the grids to choose from: the first beside the others, with comments or without, or above."""
        first, *others = [[step for step in part.lines if is_shown(step)] for part in self.parts]
        rest = [step for steps in others for step in steps]
        for comments in (True, False):
            yield [grid_of(code(first, comments), code(rest, comments))]
        yield [grid_of(code([*first, *rest]))]


def is_shown(step: Step) -> bool:
    """Return whether a line does more than import or look."""
    return not (step.line.only_looks or step.line.source.startswith("import "))


def grid_of(*pieces: Text) -> Table:
    """Return pieces beside each other."""
    grid = Table.grid(padding=(0, len(GAP), 0, 0))
    grid.add_row(*pieces)
    return grid
