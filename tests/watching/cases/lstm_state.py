"""The state of an LSTM is carried from batch to batch and not detached."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    cell, head = nn.LSTMCell(3, 4), nn.Linear(4, 1)
    optimizer = torch.optim.Adam([*cell.parameters(), *head.parameters()])
    h, c = torch.zeros(2, 4), torch.zeros(2, 4)
    for _ in range(3):
        h, c = cell(torch.randn(2, 3), (h, c))  # SAVES
        loss = head(h).square().mean()
        optimizer.zero_grad()
        loss.backward(retain_graph=True)  # RAISES
        optimizer.step()  # WRITES
        if fixed:
            h, c = h.detach(), c.detach()
