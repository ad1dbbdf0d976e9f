"""A custom backward scales what its forward saved."""

from typing import Any

import torch
from torch import Tensor


class Cube(torch.autograd.Function):
    fixed = False

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        square = x * x
        ctx.save_for_backward(square)  # SAVES
        return square * x

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        (square,) = ctx.saved_tensors
        if Cube.fixed:
            return 3 * square * upstream
        return square.mul_(3).mul_(upstream)  # WRITES


def scenario(fixed: bool = False) -> None:
    Cube.fixed = fixed
    x = torch.ones(3, requires_grad=True)
    y = Cube.apply(x).sum()
    y.backward(retain_graph=True)
    y.backward()  # RAISES
