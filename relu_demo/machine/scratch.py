"""The scratch memory of a convolution on the CPU: what it allocates besides its tensors."""

from __future__ import annotations

BLOCK = 16
"""Channels in one of oneDNN's blocks, at most: the floats that fit into a register of AVX-512."""


def scratch(channels: int, kernel: int, before: int, after: int, backward: bool = False) -> tuple[int, int]:
    """Return upper bounds, in elements, for PyTorch's two implementations (measured with PyTorch 1.13 and 2.13).

    The first is for oneDNN, which copies input, result and weights with their channels rounded up to whole blocks. The
    second is for `_slow_conv2d_forward`, which unfolds the input and takes what oneDNN does not: float64, small inputs.

    The convolution has as many channels after as before it. `kernel` is the kernel's height and width, `before` and
    `after` are the elements of one channel of input and result over the whole batch. With `backward` the bounds include
    the gradients of input and weights.
    """
    padded = -(-channels // BLOCK) * BLOCK
    weights = (padded * kernel) ** 2
    blocked = padded * (before + after) + weights
    unfolded = channels * after * kernel**2
    return (blocked + padded * before + weights, 2 * unfolded) if backward else (blocked, unfolded)
