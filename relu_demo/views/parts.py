"""What every screen is made of: its header, marked cells, tables of them, lines of code, and the choice of a layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from relu_demo import __version__
from relu_demo.errors import readable
from relu_demo.language import _, cells
from relu_demo.replay.trace import Step
from relu_demo.request import command_line

if TYPE_CHECKING:
    from relu_demo.scenarios import AnyReport

CHANGED, MARK = "bold magenta", "*"
"""How a change is shown: by this style, and by this sign in front of it."""

UNCHANGED = "green"
"""The style of the words that say that something has not changed."""

ERROR = "red"
"""The style of PyTorch's own messages."""

GAP = "  "
"""Between two columns."""

COMMENTS = 38
"""Characters from the beginning of a line's source to its comment, unless the source is longer."""

NARROW = 60
"""Columns of the terminal below which what would stand side by side is stacked."""

Choice = TypeVar("Choice")


def literal(text: str, style: str = "") -> Text:
    """Return text as it is to be shown, without markup, with control characters escaped."""
    return Text(readable(text), style=style)


def header(title: str, report: AnyReport) -> Iterator[Text]:
    """Yield a title, and the command line that shows the screen again with the versions that ran.

    A report that no command line asked for has the bare title.
    """
    yield literal(title, style="bold")
    if command := command_line(report.request):
        yield Text.assemble(readable(command), versions(report))


def versions(report: AnyReport) -> tuple[str, str]:
    """Return the versions that ran, to be put behind other words, and their style."""
    return f"  (relu-demo {__version__}, PyTorch {report.torch_version})", "dim"


def section(title: str, *body: RenderableType) -> Iterator[RenderableType]:
    """Yield an empty line, a title, and what stands below it."""
    yield from ("", Text(title, style="bold"), *body)


def cell(text: str, changed: bool = False, style: str = "") -> Text:
    """Return a cell's text behind a place for the mark, which is also the place of a number's sign."""
    mark = MARK if changed else " "
    return Text(mark + text.replace("\n", "\n "), style=CHANGED if changed else style)


def titled_table(titles: Sequence[str], labels: int, gap: str = GAP) -> Table:
    """Return a table of a column for labels, `labels` cells wide, and a column for each title, `gap` between them.

    Fill it with `add_row`.
    """
    table = Table(box=None, padding=0, show_header=False, pad_edge=False)
    table.add_column(style="dim", min_width=labels, no_wrap=True, overflow="crop")
    for number in range(len(titles)):
        if number:
            table.add_column(width=len(gap))
        table.add_column(no_wrap=True, overflow="crop")
    add_row(table, "", [cell(title, style="bold") for title in titles], gap)
    return table


def add_row(table: Table, label: str, cells: Sequence[RenderableType], gap: str = GAP) -> None:
    """Add a row to a `titled_table` that has the same `gap`."""
    apart: list[RenderableType] = []
    for item in cells:
        apart += [gap, item] if apart else [item]
    table.add_row(label, *apart)


def code(steps: Sequence[Step], comments: bool = True) -> Text:
    """Return the lines that ran, as one would type them, with their comments, each above what it printed or raised."""
    lines = []
    for step in steps:
        first, *more = commented(step.line.source).split("\n")
        line = Text.assemble((">>> ", "dim"), first, *(part for each in more for part in (("\n... ", "dim"), each)))
        if comments and step.line.comment:
            line.append(" " * (COMMENTS - len(step.line.source)) + f"  # {_(step.line.comment)}", style="dim italic")
        lines.append(line)
        if step.error is not None:
            lines.append(Text(step.output.partition("  ...\n")[2].rstrip(), style=ERROR))
        elif step.output:
            lines.append(Text(step.output.rstrip(), style="dim"))
    return Text("\n").join(lines)


def commented(source: str) -> str:
    """Return code with its comments in the language that is spoken."""
    return re.sub(r"(?<=  # ).+", lambda comment: _(comment[0]), source)


def code_within(steps: Sequence[Step], width: int) -> Text:
    """Return the lines that ran, without their comments where one of these would need more than `width` columns."""
    text = code(steps)
    longest = max((cells(line) for line in text.plain.splitlines() if line.startswith(">>> ")), default=0)
    return text if longest <= width else code(steps, comments=False)


def first_fitting(choices: Iterable[Choice], fits: Callable[[Choice], bool]) -> Choice:
    """Return the first that fits, else the last. There is at least one; those after it are not made."""
    for choice in choices:
        if fits(choice):
            break
    return choice


def width(console: Console, tables: Iterable[Table]) -> int:
    """Return how many columns of the terminal the widest table takes if it has as many as it likes."""
    roomy = console.options.update(max_width=10_000)
    return max(console.measure(table, options=roomy).maximum for table in tables)


def laid_out(console: Console, options: ConsoleOptions, layouts: Iterable[Sequence[Table]]) -> Iterator[RenderableType]:
    """Yield the tables of the first layout that fits into `options.max_width` columns, else of the last.

    They stand below each other, with an empty line between two.
    """
    for number, table in enumerate(first_fitting(layouts, lambda each: width(console, each) <= options.max_width)):
        yield from ("", table) if number else (table,)
