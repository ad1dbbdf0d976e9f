"""A running metric is summed up under inference_mode and scaled after it."""

import torch


def scenario(fixed: bool = False) -> None:
    with torch.inference_mode():
        hits = torch.zeros(())
        for _ in range(3):
            hits += torch.randn(4).gt(0).sum()  # SAVES
    if fixed:
        hits = hits / 12
    else:
        hits /= 12  # WRITES
