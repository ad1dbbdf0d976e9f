"""A recurrent network masks its state through detach(), whose memory is that of the state which a layer saved."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.RNNCell(3, 4), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor, fixed: bool) -> torch.Tensor:
        h = self.cell(x)  # SAVES
        y = self.out(h)  # SAVES
        if fixed:
            h = h.clone()
        h.view(-1).detach().mul_(0.5)  # WRITES
        return y.sum() + h.sum()


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    Net()(torch.randn(2, 3), fixed).backward()  # RAISES
