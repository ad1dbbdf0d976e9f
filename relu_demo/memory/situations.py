"""The situations whose bytes are counted in place and out of place, as plain data, and the memory that they need."""

from __future__ import annotations

import math
from dataclasses import dataclass

from relu_demo.language import mark
from relu_demo.machine.free_memory import scratch
from relu_demo.request import KERNEL, Measure

ACTIVATIONS = ("LeakyReLU", "ELU", "ReLU6", "SiLU", "Mish", "Hardswish")
FLOAT32 = 4
"""Bytes of an element of torch.float32, the dtype of every measurement."""


@dataclass(frozen=True)
class Situation:
    """A row of the table: blocks of a convolution, an optional norm, and an activation."""

    key: str
    title: str
    activation: str
    """Its class in torch.nn."""
    norm: str | None
    """The norm's class in torch.nn."""
    training: bool
    """train() with grad, otherwise eval() under no_grad."""
    depth: int
    """How many blocks there are."""
    both_names: bool = False
    """The article's REPL: the convolution's result stays referenced (`o1`) beside the activation's (`h1`)."""


def situations(request: Measure) -> tuple[Situation, ...]:
    """Return the rows of the table at `request.depth` blocks: the REPL, the ReLU chains, the other activations."""
    repl = Situation("repl", mark("the article's REPL, both names kept"), "ReLU", None, True, 1, both_names=True)
    others = tuple(_chain_of(name, None, True, request.depth) for name in ACTIVATIONS)
    return (repl, *_relu_chains(request.depth), *others)


def _relu_chains(depth: int) -> tuple[Situation, ...]:
    return tuple(
        _chain_of("ReLU", norm, training, depth) for norm in (None, "BatchNorm2d") for training in (False, True)
    )


def _chain_of(activation: str, norm: str | None, training: bool, depth: int) -> Situation:
    layers = ["conv", *(["BatchNorm"] if norm else []), activation]
    chain = "+".join(layers)
    title = mark("{chain}, training", chain=chain) if training else mark("{chain}, no grad", chain=chain)
    key = "_".join([*layers, "training" if training else "no_grad"]).lower()
    return Situation(key, title, activation, norm, training, depth)


def bytes_needed(request: Measure) -> int:
    """Return the most bytes that measuring takes at once, input and weights included.

    At most two activations of each block are saved for backward, and one convolution runs at a time.
    """
    channels = request.shape[1]
    activations = 2 * (1 + request.depth) * math.prod(request.shape)  # of the blocks; the input and the result
    weights = (channels * KERNEL**2 + 16) * channels  # the kernel; the bias and BatchNorm's vectors
    return FLOAT32 * (activations + request.depth * weights + scratch(request.shape, KERNEL))
