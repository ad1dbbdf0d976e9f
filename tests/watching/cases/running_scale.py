"""A forward updates a buffer that its own product has saved; two forwards, one backward."""

import torch
from torch import Tensor, nn


class Scale(nn.Module):
    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.fixed = fixed
        self.linear = nn.Linear(4, 4)
        self.register_buffer("scale", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        self.scale.mul_(0.9).add_(y.detach().std(0), alpha=0.1)  # WRITES
        return y * (self.scale.clone() if self.fixed else self.scale)  # SAVES


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    net = Scale(fixed)
    loss = net(torch.randn(3, 4)).sum() + net(torch.randn(3, 4)).sum()
    loss.backward()  # RAISES
