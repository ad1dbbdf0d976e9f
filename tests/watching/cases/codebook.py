"""A quantizer moves its codebook through .data after it has computed with it: wrong gradients of the encoder."""

import torch
from torch import Tensor, nn


class Quantizer(nn.Module):
    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(5, 3))
        self.fixed = fixed

    def forward(self, z: Tensor) -> Tensor:
        distance: Tensor = z @ self.codebook.t()  # SAVES
        nearest = distance.argmax(1)
        if not self.fixed:
            self.codebook.data[nearest] = z.detach()  # WRITES
        return distance


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    distance = Quantizer(fixed)(nn.Linear(4, 3)(torch.randn(6, 4)))
    distance.exp().sum().backward()  # RAISES
