"""The parts that every screen is made of: marked cells, tables of them, and lines of code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from relu_demo import __version__
from relu_demo.replay.trace import Step

CHANGED, MARK = "bold magenta", "*"
"""How what changed is shown: by this style, and by this sign in front of it."""

UNCHANGED = "green"
"""How it is shown, besides its words, that something could have changed and has not."""

ERROR = "red"
"""How PyTorch's own words are shown."""

GAP = "  "
"""Between two columns."""

COMMENTS = 38
"""Where the comments begin, in characters from the beginning of the source, unless that is longer."""

NARROW = 60
"""Below this many columns of the terminal, what would stand side by side is stacked."""


def header(title: str, command: str, torch_version: str) -> Iterator[RenderableType]:
    """What is shown and what ran it, and the command that shows it again."""
    yield Text.assemble((title, "bold"), (f"  (relu-demo {__version__}, PyTorch {torch_version})", "dim"))
    yield Text(command)


def cell(text: str, changed: bool = False, style: str = "") -> Text:
    """A cell's text behind a place for the mark, which is also the place of a number's sign."""
    mark = MARK if changed else " "
    return Text(mark + text.replace("\n", "\n "), style=CHANGED if changed else style)


def told(text: str, changed: bool) -> Text:
    """A cell that says of something that it has changed, or that it has not."""
    return cell(text, changed, UNCHANGED)


@dataclass(frozen=True)
class Underline:
    """A line below a title, as wide as its column. rich's Rule without a title is not ASCII where it should be."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(("-" if options.ascii_only else "─") * options.max_width, style="dim")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, 1)


def columns(titles: Sequence[str], labels: int) -> Table:
    """A table with a column for labels, `labels` characters wide, and a column for each title, under a rule."""
    table = Table(box=None, padding=0, show_header=False, pad_edge=False)
    table.add_column(style="dim", min_width=labels, no_wrap=True, overflow="crop")
    for number, _ in enumerate(titles):
        if number:
            table.add_column(width=len(GAP))
        table.add_column(no_wrap=True, overflow="crop")
    add_row(table, "", [cell(title, style="bold") for title in titles])
    add_row(table, "", [Underline() for _ in titles])
    return table


def add_row(table: Table, label: str, cells: Sequence[RenderableType]) -> None:
    """Adds a row to a table of `columns`."""
    apart: list[RenderableType] = []
    for item in cells:
        apart += [GAP, item] if apart else [item]
    table.add_row(label, *apart)


def width(console: Console, table: Table) -> int:
    """The columns of the terminal that a table would like to have."""
    return console.measure(table, options=console.options.update(max_width=10_000)).maximum


def code(steps: Sequence[Step], comments: bool = True) -> Text:
    """The lines that ran, as they would be typed, with their comments behind them."""
    lines = []
    for step in steps:
        line = Text.assemble((">>> ", "dim"), step.line.source)
        if comments and step.line.comment:
            line.append(" " * (COMMENTS - len(step.line.source)) + f"  # {step.line.comment}", style="dim italic")
        lines.append(line)
        if step.error is not None:
            lines.append(Text(step.output.partition("  ...\n")[2].rstrip(), style=ERROR))
    return Text("\n").join(lines)
