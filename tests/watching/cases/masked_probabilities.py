"""Probabilities of padded positions are set to zero by a mask before the loss."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    net = nn.Linear(4, 3)
    p = net(torch.randn(5, 4)).sigmoid()  # SAVES
    mask = torch.tensor([True, False, True, False, False])
    if fixed:
        p = torch.where(mask[:, None], 0.0, p)
    else:
        p[mask] = 0.0  # WRITES
    loss = (p - 1).square().sum()
    loss.backward()  # RAISES
