"""Two halves are taken, then the whole is written to in place: PyTorch gives the halves up."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    layer, bias = nn.Linear(4, 4), torch.ones(4)
    total = layer(torch.randn(2, 4))
    left, right = total.chunk(2, -1)  # SAVES
    if fixed:
        total = total + bias
    else:
        total.add_(bias)  # WRITES
    loss = torch.cat([right, left]).sum() + total.sum()  # RAISES
    loss.backward()
