"""The claim of the article on memory, tested on measured bytes."""

from __future__ import annotations

from collections.abc import Sequence

from relu_demo.claims.claim import Answer, claim, findings
from relu_demo.claims.report import JudgedClaim
from relu_demo.memory.report import Measurement


@claim(8, "In place saves memory, in the article's REPL.", needs=("repl",))
def saves_memory(repl: Measurement) -> Answer:
    """Compare the bytes live after the forward of one layer, with both names kept."""
    here, there = repl.in_place.live, repl.out_of_place.live
    return here < there, f"{here:,} bytes live in place and {there:,} not"


def judge_rows(rows: Sequence[Measurement]) -> tuple[JudgedClaim, ...]:
    """Return the finding on claim 8."""
    return tuple(findings({row.situation.key: row for row in rows}))
