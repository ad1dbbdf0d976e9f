"""Attention weights are normalised in place by a sum that was computed of them."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    scores = nn.Linear(4, 4)(torch.randn(3, 4))
    weights = scores.exp()  # SAVES
    total = weights.sum(-1, keepdim=True)
    if fixed:
        weights = weights / total
    else:
        weights /= total  # WRITES
    weights.square().sum().backward()  # RAISES
