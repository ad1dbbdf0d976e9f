"""A memory gets the same tensor at each step, which the next step fills anew: all of it is the last step."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    net = nn.Linear(3, 3)
    seen = torch.zeros(3)
    memory = []
    for frame in torch.rand(4, 3):
        seen.copy_(frame)  # WRITES
        memory.append(seen.clone() if fixed else seen)  # SAVES
    net(torch.stack(memory)).sum().backward()  # RAISES
