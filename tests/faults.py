"""The two faults of an activation in place that people meet most."""

import torch
from torch import Tensor, nn


class PreActivation(nn.Module):
    """A residual unit that normalises and activates first: its ReLU eats the skip."""

    def __init__(self) -> None:
        super().__init__()
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(16, 16, 3, padding=1)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean()
        out: Tensor = self.conv1(self.relu1(x))
        out = self.conv2(self.relu2(out))
        return out + x


class Gate(nn.Module):
    """An activation in place after a sigmoid, whose backward needs its own result."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 16)
        self.shut = nn.Threshold(0.1, 0.0, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = torch.sigmoid(self.linear(x))
        return x.mul(self.shut(gate))
