"""The situations in which bytes are counted, in place and out of place, and what was found: plain data, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relu_demo.request import command_line, other_than_default, sizes

if TYPE_CHECKING:
    from relu_demo.claims.report import Finding

MAX_DEPTH = 16
ACTIVATIONS = ("LeakyReLU", "ELU", "ReLU6", "SiLU", "Mish", "Hardswish")
FLOAT32 = 4  # bytes of one element of torch.float32, which everything here is measured in


@dataclass(frozen=True)
class Options:
    """What is measured: the input's shape (N, C, H, W), the number of blocks, the device.

    Raises ValueError, with what to give instead, for a shape or a depth that no chain can have.
    """

    shape: tuple[int, int, int, int] = (1, 16, 64, 64)
    depth: int = 8
    device: str = "cpu"

    def __post_init__(self) -> None:
        text = sizes(self.shape)
        if len(self.shape) != 4 or min(self.shape) < 1:
            raise ValueError(f"shape {text}: give four sizes N,C,H,W of at least 1 each")
        batch, _, height, width = self.shape
        if batch * height * width == 1:
            raise ValueError(f"shape {text}: BatchNorm cannot train on one number; give a larger H or W")
        if not 1 <= self.depth <= MAX_DEPTH:
            raise ValueError(f"depth {self.depth}: give a number of blocks from 1 to {MAX_DEPTH}")


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

    options: Options
    torch_version: str
    rows: tuple[Measurement, ...]
    growth: tuple[Measurement, ...]
    findings: tuple[Finding, ...]

    @property
    def command(self) -> str:
        """The command line that measures this again."""
        return command_line(["--memory"], other_than_default(self.options, ("shape", "depth", "device")))

    @property
    def ok(self) -> bool:
        """Whether no claim fails."""
        return all(finding.ok for finding in self.findings)


def situations(options: Options) -> tuple[Situation, ...]:
    """The rows of the table, at `options.depth` blocks: the article's REPL, the ReLU chains, the other activations."""
    repl = Situation("repl", "the article's REPL, both names kept", "ReLU", None, True, 1, both_names=True)
    others = tuple(_chain(name, None, True, options.depth) for name in ACTIVATIONS)
    return (repl, *_relu_chains(options.depth), *others)


def growth(options: Options) -> tuple[Situation, ...]:
    """The ReLU chains once more for each depth from 1 to `options.depth`: how the bytes grow with the blocks."""
    return tuple(row for depth in range(1, options.depth + 1) for row in _relu_chains(depth))


def bytes_needed(options: Options) -> int:
    """Bytes that measuring takes at once, input and weights included, said before anything is allocated.

    An upper bound for the CPU, from what PyTorch does there: at most two activations a block stay for backward,
    and one convolution's scratch is added. That scratch is either the unfolded input of `_slow_conv2d_forward` (9
    activations for a 3x3 kernel) or oneDNN's blocked copies of input and result, with channels rounded up to 16, and
    the weights once more. On CUDA the same, less the workspace that cuDNN chooses for itself.
    """
    batch, channels, height, width = options.shape
    plane = batch * height * width * FLOAT32
    blocked = -(-channels // 16) * 16
    kept = (1 + 2 * options.depth + 1) * channels * plane  # the input; the blocks; the result
    scratch = max(9 * channels, 2 * blocked) * plane
    layer = (9 * channels + 16) * channels * FLOAT32  # the kernel; the bias and BatchNorm's vectors
    reordered = 9 * blocked * blocked * FLOAT32
    return kept + scratch + options.depth * layer + reordered


def _relu_chains(depth: int) -> tuple[Situation, ...]:
    return tuple(_chain("ReLU", norm, training, depth) for norm in (None, "BatchNorm2d") for training in (False, True))


def _chain(activation: str, norm: str | None, training: bool, depth: int) -> Situation:
    layers = ["conv", *(["BatchNorm"] if norm else []), activation]
    mode = "training" if training else "no grad"
    key = "_".join([*layers, mode]).lower().replace(" ", "_")
    return Situation(key, f"{'+'.join(layers)}, {mode}", activation, norm, training, depth)
