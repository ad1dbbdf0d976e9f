"""A loop keeps each state in a list, and writes over it in the next step."""

import torch


def scenario(fixed: bool = False) -> None:
    w = torch.ones(3, requires_grad=True)
    state, states = w * 1, []
    for _ in range(2):
        states.append(state)  # SAVES
        if fixed:
            state = state + 1
        else:
            state += 1  # WRITES
    torch.stack(states).sum().backward()  # RAISES
