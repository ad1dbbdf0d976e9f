"""The choice of a layout: the first that fits, else the last; its pieces stand below each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table

Layout = TypeVar("Layout")


def first_fitting(layouts: Iterable[Layout], fits: Callable[[Layout], bool]) -> Layout:
    """Return the first of the layouts that fits, else the last. There is at least one; those after it are not made."""
    for layout in layouts:
        if fits(layout):
            break
    return layout


def stacked(pieces: Iterable[RenderableType]) -> Iterator[RenderableType]:
    """Yield the pieces with an empty line between two."""
    for number, piece in enumerate(pieces):
        yield from ("", piece) if number else (piece,)


def width(console: Console, tables: Iterable[Table]) -> int:
    """Return how many columns of the terminal the widest table takes if it has as many as it likes."""
    roomy = console.options.update(max_width=10_000)
    return max(console.measure(table, options=roomy).maximum for table in tables)


def fitting(console: Console, options: ConsoleOptions, layouts: Iterable[Sequence[Table]]) -> Iterator[RenderableType]:
    """Yield the tables of the first layout whose tables all fit into `options.max_width` columns, else of the last."""
    tables = first_fitting(layouts, lambda tables: width(console, tables) <= options.max_width)
    return stacked(tables)
