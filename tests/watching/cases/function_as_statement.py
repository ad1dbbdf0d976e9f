"""An activation of torch.nn.functional that writes in place stands as a statement, behind one that saved its result."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    y = torch.tanh(nn.Linear(2, 2)(torch.randn(3, 2)))  # SAVES
    if fixed:
        y = F.relu(y)
    else:
        F.relu_(y)  # WRITES
    y.sum().backward()  # RAISES
