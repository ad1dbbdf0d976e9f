"""The claim: a sentence with the predicate that holds a trace against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relu_demo.claims.report import Finding, Verdict
from relu_demo.replay.trace import Trace

Answer = tuple[bool | None, str]
"""Whether a claim holds, or None where these numbers cannot show it, and the evidence."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the article, and the predicate that holds a trace against it.

    `test` takes a trace that has the parts in `needs` and gives the evidence with True, False, or None where the claim
    is not refuted but these numbers cannot show it either.
    """

    number: int
    says: str
    needs: tuple[str, ...]
    test: Callable[[Trace], Answer]

    def judge(self, trace: Trace) -> Finding:
        """The finding of this claim on that trace."""
        holds, evidence = self.test(trace)
        if holds is None:
            seed = trace.session.request.seed
            other = seed + 1 if seed < 2**64 - 1 else 0
            return Finding(self.number, self.says, Verdict.UNSHOWN, evidence, f"try another seed, say --seed {other}")
        return Finding(self.number, self.says, Verdict.HOLDS if holds else Verdict.FAILS, evidence)
