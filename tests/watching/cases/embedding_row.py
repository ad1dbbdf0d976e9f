"""The row of the padding token is set to zero without no_grad."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    table = nn.Embedding(5, 3)
    if fixed:
        with torch.no_grad():
            table.weight[0].zero_()
        return
    row = table.weight[0]  # SAVES
    row.zero_()  # WRITES
