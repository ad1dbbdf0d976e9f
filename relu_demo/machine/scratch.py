"""The scratch memory of a convolution on the CPU: what its two implementations allocate besides their tensors."""

from __future__ import annotations

from typing import NamedTuple

BLOCK = 16
"""Channels in one of oneDNN's blocks, at most: the floats that fit into a register of AVX-512."""


class Scratch(NamedTuple):
    """Elements of scratch memory, by implementation (measured on the CPU with PyTorch 1.13 and 2.13)."""

    blocked: int
    """oneDNN's reordered copies of input, result and weights, their channels rounded up to whole blocks."""
    unfolded: int
    """The unfolded input of `_slow_conv2d_forward`, which takes what oneDNN does not: float64, small inputs."""


def scratch(channels: int, kernel: int, before: int, after: int, backward: bool = False) -> Scratch:
    """Return an upper bound for a convolution from `channels` channels to as many.

    `kernel` is the kernel's height and width, `before` and `after` are the elements of one channel of input and result
    over the whole batch. With `backward` the bound includes the gradients of input and weights.
    """
    blocks = -(-channels // BLOCK) * BLOCK
    blocked = blocks * (before + after) + (blocks * kernel) ** 2
    unfolded = channels * after * kernel**2
    return (
        Scratch(blocked + blocks * before + (blocks * kernel) ** 2, 2 * unfolded)
        if backward
        else Scratch(blocked, unfolded)
    )
