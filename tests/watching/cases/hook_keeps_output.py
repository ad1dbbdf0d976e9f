"""A forward hook keeps a layer's output for later; the in-place activation behind the layer writes over it."""

from typing import Any

import torch
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.stem, self.act, self.head = nn.Linear(4, 4), nn.ReLU(inplace=inplace), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.act(x)  # WRITES
        return self.head(x)


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    kept: dict[str, Tensor] = {}

    def keep(module: nn.Module, args: Any, output: Tensor) -> None:
        kept["stem"] = output  # SAVES

    net = Net(not fixed)
    net.stem.register_forward_hook(keep)
    net(torch.randn(3, 4)).sum().backward()
    kept["stem"].abs().mean()  # RAISES
