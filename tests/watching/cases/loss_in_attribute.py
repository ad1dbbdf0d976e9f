"""A style layer leaves its loss in an attribute; the in-place activation behind it writes over what mm saved."""

import torch
from torch import Tensor, nn


class Gram(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        self.loss = (flat @ flat.t()).square().mean()  # SAVES
        return x


class Net(nn.Module):
    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.stem, self.gram, self.act = nn.Linear(4, 4), Gram(), nn.LeakyReLU(inplace=inplace)

    def forward(self, x: Tensor) -> Tensor:
        x = self.gram(self.stem(x))
        return self.act(x)  # WRITES


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    net = Net(not fixed)
    net(torch.randn(3, 4))
    net.gram.loss.backward()  # RAISES
