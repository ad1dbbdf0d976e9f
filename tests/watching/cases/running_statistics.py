"""A layer runs in eval mode and then in training mode, which moves the statistics that the first run needs."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    x = torch.randn(6, 4)
    encoder.eval()
    anchor = encoder(x)  # SAVES
    if not fixed:
        encoder.train()
    positive = encoder(x + 0.1)  # WRITES
    (anchor - positive).square().mean().backward()  # RAISES
