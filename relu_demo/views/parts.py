"""What every screen is made of: its header, marked cells, tables of them, and lines of code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from relu_demo import __version__
from relu_demo.errors import readable
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


def plain(text: str, style: str = "") -> Text:
    """Return text as it is to be shown, without markup, with control characters escaped."""
    return Text(readable(text), style=style)


def header(title: str, report: AnyReport, options: str = "") -> Iterator[RenderableType]:
    """Yield a screen's title with the versions that ran, and the command line, with `options`, that shows it again.

    Yield the bare title for a report that no command line asked for.
    """
    if report.request is None:
        yield plain(title, style="bold")
        return
    yield Header(title, versions(report), command_line(report.request) + options)


@dataclass(frozen=True)
class Header:
    """A title, the versions that ran behind it or behind the command line, where they fit, and the command line."""

    title: str
    versions: tuple[str, str]
    command: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title, command = plain(self.title, style="bold"), plain(self.command)
        room = options.max_width - len(self.versions[0])
        behind = command if title.cell_len > room >= command.cell_len else title
        behind.append(*self.versions)
        yield title
        yield command


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


def change(text: str, changed: bool) -> Text:
    """Return a cell whose words say that something changed, or that it did not."""
    return cell(text, changed, UNCHANGED)


@dataclass(frozen=True)
class Underline:
    """A line below a title, as wide as its column. rich's Rule is not ASCII where it should be."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(("-" if options.ascii_only else "─") * options.max_width, style="dim")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, 1)


def columns(titles: Sequence[str], labels: int, gap: str = GAP, underlined: bool = True) -> Table:
    """Return a table of a column for labels, `labels` characters wide, and a column for each title, `gap` between them.

    Fill it with `add_row`.
    """
    table = Table(box=None, padding=0, show_header=False, pad_edge=False)
    table.add_column(style="dim", min_width=labels, no_wrap=True, overflow="crop")
    for number, _ in enumerate(titles):
        if number:
            table.add_column(width=len(gap))
        table.add_column(no_wrap=True, overflow="crop")
    add_row(table, "", [cell(title, style="bold") for title in titles], gap)
    if underlined:
        add_row(table, "", [Underline() for _ in titles], gap)
    return table


def add_row(table: Table, label: str, cells: Sequence[RenderableType], gap: str = GAP) -> None:
    """Add a row to a table of `columns` that has the same `gap`."""
    apart: list[RenderableType] = []
    for item in cells:
        apart += [gap, item] if apart else [item]
    table.add_row(label, *apart)


def code(steps: Sequence[Step], comments: bool = True) -> Text:
    """Return the lines that ran, as one would type them, with their comments, each above what it printed or raised."""
    lines = []
    for step in steps:
        line = Text.assemble((">>> ", "dim"), step.line.source)
        if comments and step.line.comment:
            line.append(" " * (COMMENTS - len(step.line.source)) + f"  # {step.line.comment}", style="dim italic")
        lines.append(line)
        if step.error is not None:
            lines.append(Text(step.output.partition("  ...\n")[2].rstrip(), style=ERROR))
        elif step.output:
            lines.append(Text(step.output.rstrip(), style="dim"))
    return Text("\n").join(lines)
