"""The situations in which bytes are counted, in place and out of place, and what was found: plain data, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relu_demo.request import Measure

if TYPE_CHECKING:
    from relu_demo.claims.report import Finding

ACTIVATIONS = ("LeakyReLU", "ELU", "ReLU6", "SiLU", "Mish", "Hardswish")
FLOAT32 = 4  # bytes of one element of torch.float32, which everything here is measured in


@dataclass(frozen=True)
class Situation:
    """One row: `depth` blocks of convolution, perhaps a norm, and an activation; `both_names` is the article's REPL.

    `activation` and `norm` are class names in torch.nn. `training` means train() with grad, otherwise eval() under
    no_grad. With `both_names` the convolution's result stays referenced (`o1`) beside the activation's (`h1`).
    """

    key: str
    title: str
    activation: str
    norm: str | None
    training: bool
    depth: int
    both_names: bool = False


@dataclass(frozen=True)
class Figures:
    """Bytes that the allocator gave out from the start of the forward on: input and weights are not in them.

    `live` is what is still there when the forward has returned and its result is held, `peak` the most there was at
    once. `peak_op` is the operation (`aten::conv2d`) in which the peak was reached, None where the allocator does
    not say it (CUDA).
    """

    live: int
    peak: int
    peak_op: str | None = None


@dataclass(frozen=True)
class Measurement:
    """A situation, its figures out of place and in place, and in a few words why they are so.

    `unit` is the bytes of one activation, the same in each row: every layer keeps the input's shape.
    """

    situation: Situation
    unit: int
    out_of_place: Figures
    in_place: Figures
    why: str


@dataclass(frozen=True)
class MemoryReport:
    """All that was measured: the rows of the table, the ReLU chains at each depth, and what it says of the claim."""

    request: Measure
    torch_version: str
    rows: tuple[Measurement, ...]
    growth: tuple[Measurement, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no claim fails."""
        return all(finding.ok for finding in self.findings)


def situations(request: Measure) -> tuple[Situation, ...]:
    """The rows of the table, at `request.depth` blocks: the article's REPL, the ReLU chains, the other activations."""
    repl = Situation("repl", "the article's REPL, both names kept", "ReLU", None, True, 1, both_names=True)
    others = tuple(_chain(name, None, True, request.depth) for name in ACTIVATIONS)
    return (repl, *_relu_chains(request.depth), *others)


def growth(request: Measure) -> tuple[Situation, ...]:
    """The ReLU chains once more for each depth from 1 to `request.depth`: how the bytes grow with the blocks."""
    return tuple(row for depth in range(1, request.depth + 1) for row in _relu_chains(depth))


def bytes_needed(request: Measure) -> int:
    """Bytes that measuring takes at once, input and weights included, said before anything is allocated.

    An upper bound for the CPU, from what PyTorch does there: at most two activations a block stay for backward,
    and one convolution's scratch is added. That scratch is either the unfolded input of `_slow_conv2d_forward` (9
    activations for a 3x3 kernel) or oneDNN's blocked copies of input and result, with channels rounded up to 16, and
    the weights once more. On CUDA the same, less the workspace that cuDNN chooses for itself.
    """
    batch, channels, height, width = request.shape
    plane = batch * height * width * FLOAT32
    blocked = -(-channels // 16) * 16
    kept = (1 + 2 * request.depth + 1) * channels * plane  # the input; the blocks; the result
    scratch = max(9 * channels, 2 * blocked) * plane
    layer = (9 * channels + 16) * channels * FLOAT32  # the kernel; the bias and BatchNorm's vectors
    reordered = 9 * blocked * blocked * FLOAT32
    return kept + scratch + request.depth * layer + reordered


def _relu_chains(depth: int) -> tuple[Situation, ...]:
    return tuple(_chain("ReLU", norm, training, depth) for norm in (None, "BatchNorm2d") for training in (False, True))


def _chain(activation: str, norm: str | None, training: bool, depth: int) -> Situation:
    layers = ["conv", *(["BatchNorm"] if norm else []), activation]
    mode = "training" if training else "no grad"
    key = "_".join([*layers, mode]).lower().replace(" ", "_")
    return Situation(key, f"{'+'.join(layers)}, {mode}", activation, norm, training, depth)
