"""The claims: each sentence as one small predicate over the trace, with its evidence."""

from __future__ import annotations

from relu_demo.claims import article, branches
from relu_demo.claims.report import Finding
from relu_demo.replay.trace import Trace

CLAIMS = (*article.CLAIMS, *branches.CLAIMS)
"""Every claim, by number. 1 to 7 and 9 are the article's."""


def judge(trace: Trace) -> tuple[Finding, ...]:
    """The findings for every claim that this trace has the parts for, in order."""
    there = {part.key for part in trace.parts}
    return tuple(claim.judge(trace) for claim in CLAIMS if there.issuperset(claim.needs))
