"""A gradient penalty needs a hidden layer's values twice, and they are zeroed before its backward."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, requires_grad=True)
    hidden = nn.Linear(3, 6)(x).sigmoid()  # SAVES
    score = nn.Linear(6, 1)(hidden)
    (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)  # SAVES
    with torch.no_grad():
        if not fixed:
            hidden.zero_()  # WRITES
    (slope.norm() - 1).pow(2).backward()  # RAISES
