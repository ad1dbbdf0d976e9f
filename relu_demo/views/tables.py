"""The tables: the screen of a session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo import __version__
from relu_demo.report import Finding, Report, Verdict
from relu_demo.trace import Trace, TracedPart
from relu_demo.views.glance import Glance
from relu_demo.views.moments import Moments
from relu_demo.views.parts import code
from relu_demo.views.screen import show as write

VERDICTS = {Verdict.HOLDS: "green", Verdict.FAILS: "bold reverse red", Verdict.UNSHOWN: "bold"}

BESIDE = 3
"""Between two tables beside each other, in characters."""


def show(report: Report, out: TextIO) -> None:
    """Writes the screen."""
    write(screen(report), out)


def screen(report: Report) -> RenderableType:
    """The whole screen of a report."""
    return Screen(report)


@dataclass(frozen=True)
class Screen:
    """The whole screen of a report."""

    report: Report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        trace = self.report.trace
        yield from header(trace)
        if trace.session.side_by_side:
            for part in trace.parts:
                if not part.looks:
                    yield from ("", code(part.steps))
            halves = [part for part in trace.parts if part.looks]
            yield from ("", Glance(halves), "", Halves(halves))
        else:
            for part in trace.parts:
                yield from ("", Text(part.title, style="bold"), code(part.steps))
                if part.looks:
                    yield from ("", Moments(part))
        yield from ("", *claims(self.report.findings))


def header(trace: Trace) -> Iterator[RenderableType]:
    """The command that shows the same again, and what ran it."""
    version = f"  (relu-demo {__version__}, PyTorch {trace.torch_version})"
    yield Text.assemble((trace.session.title, "bold"), (version, "dim"))
    yield Text(trace.session.command)


@dataclass(frozen=True)
class Halves:
    """The tables of several parts, beside each other where there is room, else below each other."""

    parts: Sequence[TracedPart]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        titled = [(Text(part.title, style="bold"), Moments(part)) for part in self.parts]
        share = options.max_width // len(titled)
        if all(console.measure(moments).minimum <= share - BESIDE for _, moments in titled):
            table = Table.grid(padding=(0, BESIDE, 0, 0))
            for _ in titled:
                table.add_column(width=share - BESIDE)
            table.add_row(*(title for title, _ in titled))
            table.add_row(*(moments for _, moments in titled))
            yield table
        else:
            for number, (title, moments) in enumerate(titled):
                yield from ("", title, moments) if number else (title, moments)


def claims(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """Each claim with its verdict and its evidence, and how many hold."""
    yield Text("What the article says", style="bold")
    table = Table.grid(padding=(0, 2, 0, 0))
    for finding in findings:
        words = Text.assemble(finding.says, (f"\n{finding.evidence}", "dim"))
        if finding.advice:
            words.append(f"\n{finding.advice}")
        table.add_row(str(finding.number), Text(finding.verdict.value, style=VERDICTS[finding.verdict]), words)
    yield table
