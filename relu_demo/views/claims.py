"""The claims with their verdicts and their evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relu_demo.report import Finding, Verdict

VERDICTS = {Verdict.HOLDS: "green", Verdict.FAILS: "bold reverse red", Verdict.UNSHOWN: "bold"}
"""How a verdict is shown, besides its words."""


def claims(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """Each claim with its verdict and its evidence."""
    yield Text("Claims", style="bold")
    table = Table.grid(padding=(0, 2, 0, 0))
    for finding in findings:
        words = Text.assemble(finding.says, (f"\n{finding.evidence}", "dim"))
        if finding.advice:
            words.append(f"\n{finding.advice}")
        table.add_row(str(finding.number), Text(finding.verdict.value, style=VERDICTS[finding.verdict]), words)
    yield table
