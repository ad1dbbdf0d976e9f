"""The report on a session: its trace, and a finding on each claim. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from relu_demo.language import mark
from relu_demo.replay.trace import Trace
from relu_demo.request import Explain, Replay


class Verdict(StrEnum):
    """Whether the live objects bear a claim out."""

    HOLDS = mark("holds")
    FAILS = mark("does not hold")
    UNSHOWN = mark("this input cannot show it")


def counted(number: int, what: str) -> str:
    """Return `1 claim`, or `2,000 claims`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its verdict."""

    number: int
    says: str
    verdict: Verdict
    evidence: str
    """What was observed, in words and figures."""
    hint: str = ""
    """What to try if this input cannot show it."""

    @property
    def ok(self) -> bool:
        """Whether the claim does not fail: it holds, or this input cannot show it."""
        return self.verdict is not Verdict.FAILS


@dataclass(frozen=True)
class SessionReport:
    """What a session's replay recorded, and the verdict on each claim: every scenario but --memory."""

    trace: Trace
    claims: tuple[JudgedClaim, ...]
    """Every claim that the session can show, by number."""

    @property
    def torch_version(self) -> str:
        """The version of PyTorch that ran the session."""
        return self.trace.torch_version

    @property
    def request(self) -> Replay | Explain:
        """What was asked for."""
        return self.trace.session.request

    @property
    def documentation(self) -> str:
        """The page of PyTorch's documentation on a fault that is explained; empty for every other session."""
        return self.trace.session.documentation

    @property
    def ok(self) -> bool:
        """Whether no claim fails."""
        return all(claim.ok for claim in self.claims)
