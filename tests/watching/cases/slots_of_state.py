"""A recurrent network writes each layer's state into a slot of one tensor."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    into, on = nn.Linear(3, 4), nn.Linear(4, 4)
    state = torch.zeros(2, 4)
    for x in torch.randn(3, 3).unbind():
        slots = []
        for layer in range(2):
            new = torch.tanh(into(x) + on(state[layer]))  # SAVES
            if fixed:
                slots.append(new)
            else:
                state[layer] = new  # WRITES
        state = torch.stack(slots) if fixed else state
    state.sum().backward()  # RAISES
