"""A buffer is given as out= once more while a product still needs what was in it."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(4))
    noise = torch.empty(4)
    torch.randn(4, out=noise)
    first = (weight * noise).sum()  # SAVES
    torch.randn(4, out=torch.empty(4) if fixed else noise)  # WRITES
    first.backward()  # RAISES
