"""Each row that split gives is clipped in place."""

import torch


def scenario(fixed: bool = False) -> None:
    x = torch.randn(4, 3, requires_grad=True) * 2
    rows = x.split(2)  # SAVES
    for row in rows:
        row.clamp(min=0) if fixed else row.clamp_(min=0)  # WRITES
