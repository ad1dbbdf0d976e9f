"""The claims on a screen: each with its verdict and its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import Finding, Verdict
from relu_demo.views.parts import NARROW

VERDICTS = {Verdict.HOLDS: "green", Verdict.FAILS: "bold reverse red", Verdict.UNSHOWN: "bold"}
"""The style of a verdict; its words carry it without."""


def claims(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """Yield the claims under a title; nothing if there are none."""
    if findings:
        yield Text("Claims", style="bold")
        yield Claims(findings)


@dataclass(frozen=True)
class Claims:
    """The findings below each other, each verdict beside its claim, or above it in a narrow terminal."""

    findings: Sequence[Finding]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        above = options.max_width < NARROW
        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(2 if above else 3):
            table.add_column(overflow="fold")
        for finding in self.findings:
            verdict = Text(finding.verdict.value, style=VERDICTS[finding.verdict])
            words = Text(finding.says)
            if finding.evidence:
                words.append(f"\n{finding.evidence}", style="dim")
            if finding.advice:
                words.append(f"\n{finding.advice}")
            table.add_row(str(finding.number), *([Text.assemble(verdict, "\n", words)] if above else [verdict, words]))
        yield table
