"""An activation of one's own multiplies its input in place, in a block with a skip."""

import torch
from torch import Tensor, nn


class Swish(nn.Module):
    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.fixed = fixed

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(x)
        if self.fixed:
            return x * gate
        return x.mul_(gate)  # WRITES


class Block(nn.Module):
    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.act, self.mix = Swish(fixed), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(self.act(x))  # RAISES


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    stem, block = nn.Linear(4, 4), Block(fixed)
    with torch.no_grad():
        block(stem(torch.randn(3, 4)))
