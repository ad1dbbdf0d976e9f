"""A recurrent policy sets the states of finished episodes to zero, in place, after a loss has used them."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    cell = nn.GRUCell(3, 4)
    state = torch.zeros(2, 4)
    loss = torch.zeros(())
    for t in range(3):
        state = cell(torch.randn(2, 3), state)
        loss = loss + state.pow(2).mean()  # SAVES
        done = torch.tensor([t, 0]) > 0
        if fixed:
            state = torch.where(done[:, None], 0.0, state)
        else:
            state[done] = 0  # WRITES
    loss.backward()  # RAISES
