"""The table of differences: a part's moments as rows, each compared with the same moment of another part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.replay.trace import Look
from relu_demo.views.fitting import fitting
from relu_demo.views.parts import add_row, cell, change, columns


@dataclass(frozen=True)
class Differences:
    """How far each look is from its reference: version counter, how many numbers differ, the largest difference."""

    looks: Sequence[Look]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = {look.moment.title: figures(look) for look in self.looks}
        kinds = max(rows.values(), key=len, default={})
        table = columns(list(kinds), max(map(len, rows), default=0) + 1)
        for title, row in rows.items():
            add_row(table, title, [row.get(kind, Text()) for kind in kinds])
        each = [card(title, row, max(map(len, kinds)) + 1) for title, row in rows.items()]
        yield from fitting(console, options, ([table], each))


def card(title: str, row: dict[str, Text], labels: int) -> Table:
    """Return a row as a table of its own, its figures below each other behind labels of that many characters."""
    table = columns([title], labels)
    for kind, figure in row.items():
        if figure.plain.strip():
            add_row(table, kind, [figure])
    return table


def figures(look: Look) -> dict[str, Text]:
    """Return the cells of a look by their titles: its version alone if there is no reference."""
    version = {"version": cell(str(look.state.version))}
    if look.changed is None:
        return version
    wrong = look.changed > 0
    return {
        **version,
        "differ from right": change(f"{look.changed} of {look.state.values.elements}" if wrong else "none", wrong),
        "by up to": cell(f"{look.largest:.4g}" if wrong else "", wrong),
    }
