"""A schedule writes the next scale into the tensor that the loss was multiplied with."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    layer, scale = nn.Linear(2, 1), torch.ones(1)
    loss = (layer(torch.randn(3, 2)) * scale).sum()  # SAVES
    if fixed:
        scale = torch.mul(scale, 0.9)
    else:
        torch.mul(scale, 0.9, out=scale)  # WRITES
    loss.backward()  # RAISES
