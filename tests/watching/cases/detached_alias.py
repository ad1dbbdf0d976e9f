"""A picture of the result is scaled through .detach(), which is no copy, before the backward."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    image = nn.Linear(4, 4)(torch.randn(3, 4)).tanh()  # SAVES
    picture = image.detach()
    if fixed:
        picture = picture * 0.5
    else:
        picture.mul_(0.5)  # WRITES
    image.sum().backward()  # RAISES
