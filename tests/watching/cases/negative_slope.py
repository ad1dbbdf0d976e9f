"""An activation with a slope below zero runs in place: its backward cannot tell which values were below zero."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    act = nn.LeakyReLU(-0.2, inplace=not fixed)
    network = nn.Sequential(nn.Linear(4, 4), act)  # SAVES
    network(torch.randn(2, 4)).sum().backward()  # RAISES
