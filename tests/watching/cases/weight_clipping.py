"""Weights are clipped through .data between the forward and its backward: no error, wrong gradients of the input."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    image = torch.randn(3, 4, requires_grad=True)
    score = critic(image).mean()  # SAVES
    if fixed:
        score.backward()
    for weight in critic.parameters():
        weight.data.clamp_(-0.01, 0.01)  # WRITES
    if not fixed:
        score.backward()  # RAISES
