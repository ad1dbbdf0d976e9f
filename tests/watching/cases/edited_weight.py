"""A weight is pruned by a write to the parameter itself."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    layer = nn.Linear(3, 3)
    keep = torch.tensor([[1.0], [0.0], [1.0]])
    if fixed:
        with torch.no_grad():
            layer.weight *= keep
    else:
        layer.weight *= keep  # WRITES
