"""Two heads, two optimizers: the first step is over before the second loss goes backward through the shared body."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    a, b = nn.Linear(4, 1), nn.Linear(4, 1)
    both = torch.optim.AdamW([*body.parameters(), *a.parameters(), *b.parameters()], foreach=True)
    x = torch.randn(3, 4)
    h = torch.relu(body(x))  # SAVES
    loss_a = a(h).square().mean()
    loss_b = b(h).square().mean()
    loss_a.backward(retain_graph=True)
    if fixed:
        loss_b.backward()
    both.step()  # WRITES
    if not fixed:
        loss_b.backward()  # RAISES
