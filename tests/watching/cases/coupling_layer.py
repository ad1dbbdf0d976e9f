"""A flow changes one half of its input by what it computes of the other: one version counter counts both halves."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    net = nn.Linear(2, 2)
    x = torch.randn(3, 4)
    shift = net(x[:, :2])  # SAVES
    if fixed:
        x = torch.cat([x[:, :2], x[:, 2:] + shift], 1)
    else:
        x[:, 2:] = x[:, 2:] + shift  # WRITES
    x.pow(2).sum().backward()  # RAISES
