"""The table of moments: each moment of a session a column, a tensor's properties the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import takewhile

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.language import _, clauses, mark
from relu_demo.replay.trace import Summary
from relu_demo.views.columns import Column
from relu_demo.views.numbers import CORNERS, FEW_ROWS, all_numbers, corner
from relu_demo.views.parts import GAP, add_row, cell, laid_out, titled_table, width

LABELS = 7
"""Cells of the longest label."""

ROWS = 16
"""The most rows of text that a tensor is drawn whole in; on a short screen FEW_ROWS."""

SHORT_CORNERS = tuple(size for size in CORNERS if size < FEW_ROWS / 2)
"""The sizes of corner for a short screen, where the figures above the corner need room too."""

Row = tuple[str, Callable[[Column], RenderableType]]
"""A row's label, and what makes its cell."""

FIGURES: dict[str, Callable[[Summary], str]] = {
    mark("zeros"): lambda values: f"{values.zeros:,}",
    "min": lambda values: f"{values.min:.4g}",
    "max": lambda values: f"{values.max:.4g}",
}
"""What is said of a tensor that is too large to be drawn whole, by label."""


@dataclass(frozen=True)
class Moments:
    """Columns as large as they fit: all numbers or a corner of them, beside each other or stacked.

    On a `short` screen a few rows are left out, and the numbers take few.
    """

    columns: Sequence[Column]
    short: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from laid_out(console, options, self.layouts())
        if self.large or not self.short:
            yield Text(self.common(), style="dim")

    def is_one_table(self, console: Console, options: ConsoleOptions) -> bool:
        """Return whether all columns fit beside each other."""
        whole_tables = takewhile(lambda tables: len(tables) == 1, self.layouts())
        return any(width(console, tables) <= options.max_width for tables in whole_tables)

    @cached_property
    def drawn(self) -> list[Text | None]:
        """The numbers of each column, or None in place of those that are too many."""
        return [self.numbers(column) for column in self.columns]

    @property
    def large(self) -> bool:
        """Whether a tensor is too large to be drawn whole."""
        return None in self.drawn

    def layouts(self) -> Iterator[list[Table]]:
        """Yield the tables to choose from: as many columns in each as possible, with the largest of the bodies."""
        bodies: list[list[Row]] = [[("", lambda column: self.drawn[self.columns.index(column)] or Text())]]
        if self.large:
            bodies = [self.corners(size) for size in (SHORT_CORNERS if self.short else CORNERS)]
        for together in range(len(self.columns), 0, -1):
            groups = [self.columns[at : at + together] for at in range(0, len(self.columns), together)]
            for body in bodies:
                for gap in (GAP, GAP[1:]):
                    yield [self.table(group, body, gap) for group in groups]

    def table(self, group: Sequence[Column], body: Sequence[Row], gap: str) -> Table:
        """Return some of the columns as a table, without the rows that are empty."""
        table = titled_table([column.title for column in group], LABELS, gap)
        for label, make in (*self.properties(), *body):
            made = [make(column) for column in group]
            if not all(isinstance(one, Text) and not one.plain.strip() for one in made):
                add_row(table, _(label), made, gap)
        return table

    def properties(self) -> Iterator[Row]:
        """Yield the rows above the numbers."""
        shown = {id(column.look) for column in self.columns if not column.common}
        yield "id", lambda column: column.object_id(id(column.earlier) in shown)
        yield "storage", lambda column: column.storage(id(column.earlier) in shown)
        yield "version", Column.version
        yield "grad_fn", Column.grad_fn
        if not self.short:
            yield "next", Column.behind
            yield mark("article"), Column.grad_fn_1_10
        if self.large or not self.short:
            yield mark("values"), Column.summary

    def corners(self, size: int) -> list[Row]:
        """Return the rows that tell of large tensors: figures, and a corner of that size in rows and columns."""
        figures = [(label, partial(figure, label)) for label in FIGURES]
        return [
            *figures,
            (mark("corner"), lambda column: corner(column.state.summary, self.before(column), size, size)),
        ]

    def numbers(self, column: Column) -> Text | None:
        """Draw all numbers of a column's tensor, one matrix below the other, or return None if they are too many."""
        picture = all_numbers(column.state.summary, self.before(column))
        return picture if picture and picture.plain.count("\n") < (FEW_ROWS if self.short else ROWS) else None

    def before(self, column: Column) -> Summary:
        """Return the numbers with which a column's are compared: the first column's, if they have the same shape."""
        first = self.columns[0].state
        return first.summary if first.shape == column.state.shape else column.state.summary

    def common(self) -> str:
        """Return what the table leaves out: once if it holds for all columns, else for each."""
        kinds = {
            state.name: _(
                "{shape} {dtype} on {device}, requires_grad={requires_grad}",
                shape=state.shape,
                dtype=state.dtype,
                device=state.device,
                requires_grad=state.requires_grad,
            )
            for state in (column.state for column in self.columns)
        }
        more = [mark("article: PyTorch 1.10")] * any(column.look.moment.grad_fn_1_10 for column in self.columns)
        if len(set(kinds.values())) == 1:
            return _("each: {facts}", facts=clauses([*list(kinds.values())[:1], *more * (not self.short)]))
        return "\n".join(f"{name}: {kind}" for name, kind in kinds.items())


def figure(label: str, column: Column) -> Text:
    """Return one of FIGURES of a column's tensor."""
    return cell(FIGURES[label](column.state.summary))
