"""A residual unit that activates first: its in-place ReLU eats the skip. Nothing is said."""

import torch
from torch import Tensor, nn


class Unit(nn.Module):
    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.relu, self.conv = nn.ReLU(inplace=inplace), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.relu(x))  # WRITES
        out = out * 2
        return out + x  # READS


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    stem, unit = nn.Linear(4, 4), Unit(not fixed)
    unit(stem(torch.randn(3, 4))).sum().backward()
