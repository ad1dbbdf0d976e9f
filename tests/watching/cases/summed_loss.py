"""A loss is summed over steps with its graph, and goes backward in each."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    total = torch.zeros(())
    for _ in range(3):
        loss = net(torch.randn(2, 3)).square().mean()  # SAVES
        total = loss if fixed else total + loss
        optimizer.zero_grad()
        total.backward(retain_graph=True)  # RAISES
        optimizer.step()  # WRITES
