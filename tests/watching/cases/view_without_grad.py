"""A view is made under no_grad to be looked at, and its base is written to outside: PyTorch gives the view up."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    h = nn.Linear(4, 4)(torch.randn(2, 4))
    with torch.no_grad():
        first = h[0]  # SAVES
    if fixed:
        h = h * 2
    else:
        h.mul_(2)  # WRITES
    print(first.abs().max().item() > 0, end="")  # RAISES
    h.sum().backward()
