"""What measuring found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from relu_demo.claims.report import JudgedClaim
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
    claims: tuple[JudgedClaim, ...]

    @property
    def ok(self) -> bool:
        """Whether no claim fails."""
        return all(claim.ok for claim in self.claims)
