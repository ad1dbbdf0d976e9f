"""The faults that a watcher meets, with the tensors that they are about; `findings` says of each what is reported."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from relu_demo.sanitizer.ledger import Saved, Write
from relu_demo.sanitizer.place import Place
from relu_demo.watching.hooks import Hooked
from relu_demo.watching.reads import Reread
from relu_demo.watching.refusals import LOST, OVERLAP, SLOPE, Refusal


@dataclass(frozen=True)
class Overwriting:
    """A saved tensor that a backward found overwritten."""

    saved: Saved
    tensor: Tensor
    writes: tuple[Write, ...]
    raised_at: Place
    words: str
    """PyTorch's own; empty where it says nothing."""
    values_kept: bool
    """Whether the backward could go on with the values that were saved: copied, or in a part that no write reached."""
    function: type | None
    """The custom autograd.Function that saved it; None if it was none."""
    earlier_step: bool
    """Whether the same line had gone backward since the tensor was saved: the graph is kept over steps."""


@dataclass(frozen=True)
class Refused:
    """A write that PyTorch refused at once."""

    refusal: Refusal
    tensor: Tensor
    raised_at: Place
    made_by: Place | None
    words: str
    runs_out_of_place: bool | None
    writes: tuple[Place, ...] = ()
    """Of a view that PyTorch has given up, the writes to its memory."""

    @property
    def to_be_cured(self) -> Place | None:
        """Return the write that can be made out of place; None where that does not run, or none is known."""
        if self.refusal in (LOST, SLOPE):
            return next(iter(self.writes), self.made_by if self.refusal is SLOPE else None)
        return self.raised_at if self.runs_out_of_place and self.refusal is not OVERLAP else None


Fault = Overwriting | Refused | Reread | Hooked
