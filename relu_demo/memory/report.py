"""What measuring found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from relu_demo.claims.report import JudgedClaim
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
    growth: tuple[Measurement, ...]
    """The ReLU chains at each depth from 1 on."""
    claims: tuple[JudgedClaim, ...]
    """The verdict on the article's claim."""

    @property
    def ok(self) -> bool:
        """Whether no claim fails."""
        return all(claim.ok for claim in self.claims)
