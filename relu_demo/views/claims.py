"""The claims on a screen: numbered from 1, each with its verdict; then how many hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import JudgedClaim, Verdict, counted
from relu_demo.views.parts import NARROW

VERDICTS = {Verdict.HOLDS: "green", Verdict.FAILS: "bold reverse red", Verdict.UNSHOWN: "bold yellow"}
"""The style of a verdict; its words carry it without."""


def claims(findings: Sequence[JudgedClaim], evidence: bool = False, conclusion: str = "") -> Iterator[RenderableType]:
    """Yield the claims under a title, then how many hold and the screen's conclusion; nothing if there are none.

    The evidence of a claim that holds is shown only if `evidence` is asked for: the rest of the screen has it.
    """
    if findings:
        yield Text("Claims", style="bold")
        yield Claims(findings, evidence)
        said = [tally(findings)] if len(findings) > 1 else []
        yield Text(" ").join([*said, Text(conclusion, style="bold")])


@dataclass(frozen=True)
class Claims:
    """The findings below each other, each verdict beside its claim, or above it in a narrow terminal.

    `folded` leaves out those that hold.
    """

    findings: Sequence[JudgedClaim]
    evidence: bool = False
    folded: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        above = options.max_width < NARROW
        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(2 if above else 3):
            table.add_column(overflow="fold")
        for number, finding in enumerate(self.findings, 1):
            if self.folded and finding.verdict is Verdict.HOLDS:
                continue
            verdict = Text(finding.verdict.value, style=VERDICTS[finding.verdict])
            words = Text(finding.says)
            if finding.evidence and (self.evidence or finding.verdict is not Verdict.HOLDS):
                words.append(f"\n{finding.evidence}", style="dim")
            table.add_row(f"{number}", *([Text.assemble(verdict, "\n", words)] if above else [verdict, words]))
        yield table


def tally(findings: Sequence[JudgedClaim]) -> Text:
    """Say how many claims hold, which do not, and what to try where the input cannot show one."""
    numbers = {
        verdict: [number for number, finding in enumerate(findings, 1) if finding.verdict is verdict]
        for verdict in Verdict
    }
    holds, fails, unshown = (numbers[verdict] for verdict in (Verdict.HOLDS, Verdict.FAILS, Verdict.UNSHOWN))
    if len(holds) == len(findings):
        return Text(f"All {counted(len(holds), 'claim')} hold.", style=f"bold {VERDICTS[Verdict.HOLDS]}")
    text = Text(f"{len(holds)} of {counted(len(findings), 'claim')} hold.", style="bold")
    if fails:
        word = "does" if len(fails) == 1 else "do"
        text.append(" ").append(f"{listed(fails)} {word} not hold.", style=VERDICTS[Verdict.FAILS])
    if unshown:
        advice = next((f"; {finding.hint}" for finding in findings if finding.hint), "")
        text.append(f" This input cannot show {listed(unshown)}{advice}.", style=VERDICTS[Verdict.UNSHOWN])
    return text


def listed(numbers: Sequence[int]) -> str:
    """Return `3`, or `3, 4 and 5`."""
    first = ", ".join(map(str, numbers[:-1]))
    return f"{first} and {numbers[-1]}" if first else f"{numbers[0]}"
