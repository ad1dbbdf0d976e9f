"""The report: a trace with what the claims say of it. All that a view gets to see; nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relu_demo.replay.trace import Trace
    from relu_demo.request import Replay


class Verdict(str, Enum):
    """What the live objects say of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNSHOWN = "this input cannot show it"


@dataclass(frozen=True)
class Finding:
    """A claim with its verdict, the evidence for it in words and figures, and what to try where it cannot be shown."""

    number: int
    says: str
    verdict: Verdict
    evidence: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether the claim does not fail. That this input cannot show it is no failure."""
        return self.verdict is not Verdict.FAILS


@dataclass(frozen=True)
class SessionReport:
    """A trace and the findings on it."""

    trace: Trace
    findings: tuple[Finding, ...]

    @property
    def torch_version(self) -> str:
        """The version of PyTorch that ran the session."""
        return self.trace.torch_version

    @property
    def request(self) -> Replay:
        """What was asked."""
        return self.trace.session.request

    @property
    def ok(self) -> bool:
        """Whether no claim fails."""
        return all(finding.ok for finding in self.findings)
