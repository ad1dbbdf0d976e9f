"""A layer normalises the batch that it is given in place; the caller goes on with the batch."""

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.fixed = fixed

    def forward(self, x: Tensor) -> Tensor:
        if self.fixed:
            return x - x.mean()
        return x.sub_(x.mean())  # WRITES


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    batch, linear = torch.randn(3, 4), nn.Linear(4, 1)
    small = Normalize(fixed)(batch)
    linear(batch).sum().backward()  # RAISES
    assert small.shape == batch.shape
