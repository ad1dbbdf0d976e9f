"""A full backward hook makes the output a view, which an in-place ReLU then may not write to."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    conv, relu = nn.Linear(3, 3), nn.ReLU(inplace=not fixed)
    conv.register_full_backward_hook(lambda module, given, received: None)  # SAVES
    out = relu(conv(torch.randn(2, 3)))  # WRITES
    out.sum().backward()
