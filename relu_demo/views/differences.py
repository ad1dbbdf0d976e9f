"""The table of differences: looks as rows, each compared with the look of the same moment in another part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from relu_demo.replay.trace import Look
from relu_demo.views.parts import GAP, add_row, cell, columns

GRADIENT = ".grad"
"""How the title of a gradient ends."""


def right(look: Look) -> bool:
    """Return whether a look does not differ from its reference."""
    return look.changed == 0


def names(looks: Sequence[Look]) -> str:
    """Return the titles of looks: `h1, h2, both gradients`."""
    titles = [look.moment.title for look in looks]
    gradients = [title for title in titles if title.endswith(GRADIENT)]
    if len(gradients) == 2:
        titles = [*(title for title in titles if title not in gradients), "both gradients"]
    return ", ".join(titles)


def differences(looks: Sequence[Look]) -> Iterator[list[Table]]:
    """Yield the tables to choose from: one with a row for each look, then one for each look.

    A row tells how far a look is from its reference: how many numbers differ, and the largest difference.
    """
    rows = {look.moment.title: figures(look) for look in looks}
    kinds = list(figures(looks[0]))
    table = Table.grid(padding=(0, len(GAP), 0, 0))
    table.add_row("", *(cell(kind, style="bold") for kind in kinds))
    for title, row in rows.items():
        table.add_row(Text(title, style="dim"), *row.values())
    yield [table]
    yield [card(title, row, max(map(len, kinds)) + 1) for title, row in rows.items()]


def card(title: str, row: dict[str, Text], labels: int) -> Table:
    """Return a row as a table of its own, its figures below each other behind labels of that many characters."""
    table = columns([title], labels)
    for kind, figure in row.items():
        add_row(table, kind, [figure])
    return table


def figures(look: Look) -> dict[str, Text]:
    """Return the cells of a look by their titles."""
    return {
        "differ from correct": cell(f"{look.changed:,} of {look.state.summary.elements:,}", True),
        "by up to": cell(f"{look.largest:.4g}", True),
    }
