"""An activation in place saves its result, and the dropout behind it writes over that, in one nn.Sequential."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(4, 8),
        nn.ELU(inplace=True),  # SAVES
        nn.Dropout(0.5, inplace=not fixed),  # WRITES
        nn.Linear(8, 1),
    )
    loss = net(torch.randn(3, 4)).sum()
    loss.backward()  # RAISES
