"""A row is expanded to a batch and then written to: its rows are one in memory."""

import torch


def scenario(fixed: bool = False) -> None:
    bias = torch.zeros(1, 4)
    rows = bias.expand(3, 4).clone() if fixed else bias.expand(3, 4)  # SAVES
    rows.add_(1)  # WRITES
