"""The screen of a watch: each fault with both lines and the cure, and last how much was watched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.errors import readable
from relu_demo.views.parts import NARROW, literal
from relu_demo.watching.finding_words import Detail, headline, lines_of, look_in_words, missing_in_words, verdict
from relu_demo.watching.report import WatchReport

LABEL_STYLES = {
    "saved": "cyan",
    "made": "cyan",
    "overwritten": "bold magenta",
    "called from": "dim",
    "cure": "green",
    "-": "red",
    "+": "green",
    "PyTorch": "red",
    "why": "dim",
}
"""The style of each line's label. The label tells it without colours."""


@dataclass(frozen=True)
class WatchScreen:
    """The whole screen of a watch."""

    report: WatchReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for finding in self.report.findings:
            yield literal(headline(finding), style="bold")
            yield _labelled_lines(list(lines_of(finding, self.report.processes)), options.max_width)
            yield ""
        yield from _foot(self.report)


def _labelled_lines(rows: list[Detail], width: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        text = Text.assemble((readable(row.where), "bold"), "  ", readable(row.source)) if row.where else Text()
        if row.where and row.words:
            below = width < NARROW or text.cell_len + len(row.words) + 16 > width
            text.append("\n" if below else "  ")
        style = LABEL_STYLES.get(row.label, "")
        text.append(readable(row.words), style=style if row.label in ("-", "+") else "")
        table.add_row(Text(row.label, style=style), text)
    return table


def _foot(report: WatchReport) -> Iterator[Text]:
    yield from (literal(f"Worth a look: {look_in_words(look)}") for look in report.worth_a_look)
    yield from (literal(missing_in_words(each)) for each in report.missing)
    yield from (literal(f"Not watched: {each.what} ({each.why})") for each in report.unwatched)
    yield literal(verdict(report), style="green" if report.ok else "bold red")
