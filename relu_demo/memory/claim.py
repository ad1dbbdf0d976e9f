"""The claim of the article on memory, held against measured bytes."""

from __future__ import annotations

from collections.abc import Sequence

from relu_demo.claims.report import Finding, Verdict
from relu_demo.memory.situations import Measurement


def judge(rows: Sequence[Measurement]) -> tuple[Finding, ...]:
    """The finding on claim 8, which speaks of the article's own REPL: both names kept, one layer."""
    repl = next(row for row in rows if row.situation.both_names)
    here, there = repl.in_place.live, repl.out_of_place.live
    verdict = Verdict.HOLDS if here < there else Verdict.FAILS
    evidence = f"{here:,} bytes live in place and {there:,} not; for networks see the table"
    return (Finding(8, "In place saves memory, in the article's REPL.", verdict, evidence),)
