"""What measuring found, as plain data, and the claim of the article on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from relu_demo.claims.claim import Answer, claim, findings
from relu_demo.claims.report import JudgedClaim
from relu_demo.language import mark
from relu_demo.memory.situations import Situation
from relu_demo.request import Measure


@dataclass(frozen=True)
class Figures:
    """Bytes that one forward allocated; its input and the weights existed before and do not count."""

    live: int
    """Still there when the forward has returned and its result is referenced."""
    peak: int
    """The most there were at once."""
    peak_op: str | None = None
    """The operation that reached the peak, `aten::conv2d`; None where the allocator does not tell (CUDA)."""


@dataclass(frozen=True)
class Measurement:
    """A situation, with its figures out of place and in place."""

    situation: Situation
    unit: int
    """The bytes of one activation in float32, the same in every row: each layer keeps the shape of the input."""
    out_of_place: Figures
    in_place: Figures
    why: str
    """What that activation's backward keeps, or what else decides."""
    in_short: str = field(default="", compare=False)
    """The same without what is not kept."""

    @property
    def saves(self) -> bool:
        """Whether in place needed less memory, after the forward or at its peak."""
        return self.in_place.live < self.out_of_place.live or self.in_place.peak < self.out_of_place.peak


@dataclass(frozen=True)
class MemoryReport:
    """What in place saves, in bytes."""

    request: Measure
    """What was asked for."""
    torch_version: str
    rows: tuple[Measurement, ...]
    """Each situation once."""
    claims: tuple[JudgedClaim, ...]
    """The verdict on the article's claim."""

    @property
    def ok(self) -> bool:
        """Whether no claim fails."""
        return all(claim.ok for claim in self.claims)


@claim(8, mark("In place saves memory, in the article's REPL."), needs=("repl",))
def saves_memory(repl: Measurement) -> Answer:
    """Compare the bytes live after the forward of one layer, with both names kept."""
    here, there = repl.in_place.live, repl.out_of_place.live
    return here < there, mark("{here:,} bytes live in place and {there:,} not", here=here, there=there)


def judge_rows(rows: Sequence[Measurement]) -> tuple[JudgedClaim, ...]:
    """Return the finding on claim 8."""
    return tuple(findings({row.situation.key: row for row in rows}))
