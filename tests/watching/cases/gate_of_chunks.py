"""A gated unit writes over one half of what chunk gave it."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    h = nn.Linear(4, 6)(torch.randn(2, 4))
    value, gate = h.chunk(2, dim=-1)  # SAVES
    out = value * gate.sigmoid() if fixed else value.mul_(gate.sigmoid())  # WRITES
    out.sum().backward()
