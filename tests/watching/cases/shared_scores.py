"""Another library writes to a tensor through the memory that it shares."""

import torch


def scenario(fixed: bool = False) -> None:
    w = torch.ones(4, requires_grad=True)
    score = (w * torch.arange(4.0)).exp()  # SAVES
    given = score.detach().clone() if fixed else score.detach()
    shown = torch.from_dlpack(given)  # WRITES
    shown /= 60
    score.sum().backward()  # RAISES
