"""A forward hook measures the input of an in-place activation, which has overwritten it by then."""

from typing import Any

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    shares: list[float] = []

    def measure(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        shares.append(float((args[0] < 0).float().mean()))  # RAISES

    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=not fixed))
    net[1].register_forward_hook(measure)
    net(torch.randn(3, 4))  # WRITES
