"""The lines that ran, part by part: beside each other where that fits, without imports and those that only look.

Above several parts, lines of one step that are too long for that are folded into a count; the transcript has them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.replay.trace import Step, TracedPart
from relu_demo.views.fitting import fitting
from relu_demo.views.parts import GAP, code

LONG = 50
"""Characters of source from which on no line stands beside another in 80 columns."""


@dataclass(frozen=True)
class Lines:
    """The lines of several parts. What a line that only looks would print is in the tables."""

    parts: Sequence[TracedPart]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from fitting(console, options, self.layouts())

    def layouts(self) -> Iterator[list[Table]]:
        """Yield the grids to choose from: the first beside the others (with comments, without, or folded) or above."""
        steps = [[step for step in part.lines if is_shown(step)] for part in self.parts]
        first, rest = steps[0], list(chain.from_iterable(steps[1:]))
        for comments in (True, False):
            yield [beside(code(first, comments), code(rest, comments))]
        if len(self.parts) > 2:
            yield [beside(folded(first), code(rest, comments=False))]
        yield [beside(code([*first, *rest]))]


def is_shown(step: Step) -> bool:
    """Return whether a line does more than import or look."""
    return not (step.line.only_looks or step.line.source.startswith("import "))


def beside(*pieces: Text) -> Table:
    """Return pieces beside each other."""
    grid = Table.grid(padding=(0, len(GAP), 0, 0))
    grid.add_row(*pieces)
    return grid


def folded(steps: Sequence[Step]) -> Text:
    """Return lines without comments; those of one step with one longer than LONG are one line of words."""
    pieces = []
    for words, group in groupby(steps, lambda step: step.line.step):
        same = list(group)
        long = any(len(step.line.source) > LONG for step in same)
        pieces.append(Text(f"... {len(same)} lines: {words}", style="dim") if long else code(same, comments=False))
    return Text("\n").join(pieces)
