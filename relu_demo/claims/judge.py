"""The verdicts on a trace. Importing the three modules of claims registers them."""

from __future__ import annotations

from relu_demo.claims import article, branches, faults  # noqa: F401
from relu_demo.claims.claim import findings
from relu_demo.claims.report import JudgedClaim
from relu_demo.language import mark
from relu_demo.replay.trace import Trace
from relu_demo.request import Explain


def judge(trace: Trace) -> tuple[JudgedClaim, ...]:
    """Return the finding on every claim whose parts are in the trace, by number."""
    request = trace.session.request
    seed, page = request.seed, request.name if isinstance(request, Explain) else ""
    other = seed + 1 if seed < 2**64 - 1 else 0
    return tuple(findings(trace.parts, mark("try another seed, say --seed {seed}", seed=other), page))
