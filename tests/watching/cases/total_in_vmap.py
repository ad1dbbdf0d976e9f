"""A function that is mapped over a batch adds each sample to one tensor outside, which has no batch dimension."""

import torch
from torch import Tensor


def scenario(fixed: bool = False) -> None:
    total = torch.zeros(3)

    def add(x: Tensor) -> Tensor:
        return total + x if fixed else total.add_(x)  # WRITES

    torch.func.vmap(add)(torch.rand(4, 3))
