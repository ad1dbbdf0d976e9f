"""A replay buffer keeps pairs of the observation and the action; the environment moves the observation in place."""

import torch


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    seen, buffer = torch.zeros(2), []
    for action in range(3):
        buffer.append((seen.clone() if fixed else seen, action))  # SAVES
        seen.add_(torch.randn(2))  # WRITES
    states = torch.stack([state for state, _ in buffer])  # RAISES
    states.sum()
