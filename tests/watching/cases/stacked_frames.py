"""The last frames are kept in a deque, and the camera writes each new frame into the same tensor."""

from collections import deque

import torch


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    frame, frames = torch.zeros(2, 2), deque(maxlen=3)
    for _ in range(3):
        frame.uniform_()  # WRITES
        frames.append(frame.clone() if fixed else frame)  # SAVES
    torch.stack(tuple(frames)).mean()  # RAISES
