"""The table of what differs: a part's moments as rows, each held against the same moment of another part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from relu_demo.replay.trace import Look
from relu_demo.views.parts import add_row, cell, columns, told, width


@dataclass(frozen=True)
class Differences:
    """How far each moment is from its reference: version counter, how many numbers differ, the largest difference."""

    looks: Sequence[Look]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cells = {look.moment.title: figures(look) for look in self.looks}
        kinds = max(cells.values(), key=len, default={})
        table = columns(list(kinds), max(map(len, cells), default=0) + 1)
        for title, row in cells.items():
            add_row(table, title, [row.get(kind, Text()) for kind in kinds])
        if width(console, table) <= options.max_width:
            yield table
            return
        for number, (title, row) in enumerate(cells.items()):
            stacked = columns([title], max(map(len, kinds)) + 1)
            for kind, figure in row.items():
                if figure.plain.strip():
                    add_row(stacked, kind, [figure])
            yield from ("", stacked) if number else (stacked,)


def figures(look: Look) -> dict[str, Text]:
    """The cells of a look by their titles. What it is held against it may lack."""
    version = {"version": cell(str(look.state.version))}
    if look.changed is None:
        return version
    wrong = look.changed > 0
    return {
        **version,
        "differ from right": told(f"{look.changed} of {look.state.values.elements}" if wrong else "none", wrong),
        "by up to": cell(f"{look.largest:.4g}" if wrong else "", wrong),
    }
