"""The table of differences: a part's moments as rows, each compared with the same moment of another part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.table import Table
from rich.text import Text

from relu_demo.replay.trace import Look
from relu_demo.views.parts import add_row, cell, change, columns


def differences(looks: Iterable[Look]) -> Iterator[list[Table]]:
    """Yield the tables to choose from: one with a row for each look, then one for each look.

    A row tells how far a look is from its reference: version counter, how many numbers differ, largest difference.
    """
    rows = {look.moment.title: figures(look) for look in looks}
    kinds = max(rows.values(), key=len)
    table = columns(list(kinds), max(map(len, rows)) + 1)
    for title, row in rows.items():
        add_row(table, title, [row.get(kind, Text()) for kind in kinds])
    yield [table]
    yield [card(title, row, max(map(len, kinds)) + 1) for title, row in rows.items()]


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
