"""What measuring found, as plain data, and the claim of the article on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relu_demo.claims.claim import Answer, claim, findings
from relu_demo.claims.report import Finding
from relu_demo.memory.situations import Situation
from relu_demo.request import Measure


@dataclass(frozen=True)
class Figures:
    """Bytes that one forward allocated; its input and the weights existed before and do not count.

    `live` bytes remain when the forward has returned and its result is referenced, `peak` is the most at any moment.
    `peak_op` is the operation that reached the peak (`aten::conv2d`), or None where the allocator does not tell (CUDA).
    """

    live: int
    peak: int
    peak_op: str | None = None


@dataclass(frozen=True)
class Measurement:
    """A situation, its figures out of place and in place, and in a few words what explains them.

    `unit` is the size of one activation in bytes, the same in every row: each layer keeps the shape of the input.
    """

    situation: Situation
    unit: int
    out_of_place: Figures
    in_place: Figures
    why: str

    @property
    def saves(self) -> bool:
        """Whether in place needed less memory, after the forward or at its peak."""
        return self.in_place.live < self.out_of_place.live or self.in_place.peak < self.out_of_place.peak


@dataclass(frozen=True)
class MemoryReport:
    """All measurements: the rows of the table, the ReLU chains at each depth, and the finding on the claim."""

    request: Measure
    torch_version: str
    rows: tuple[Measurement, ...]
    growth: tuple[Measurement, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no claim fails."""
        return all(finding.ok for finding in self.findings)


@claim(8, "In place saves memory, in the article's REPL.", needs=("repl",))
def saves_memory(repl: Measurement) -> Answer:
    """Compare the bytes live after the forward of one layer, with both names kept."""
    here, there = repl.in_place.live, repl.out_of_place.live
    return here < there, f"{here:,} bytes live in place and {there:,} not"


def judge_rows(rows: Sequence[Measurement]) -> tuple[Finding, ...]:
    """Return the finding on claim 8."""
    return tuple(findings({row.situation.key: row for row in rows}))
