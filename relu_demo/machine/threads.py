"""The number of threads that PyTorch computes with.

On a busy machine several threads wait for each other at the end of each operation: a computation that takes one thread
a tenth of a second then takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Have PyTorch compute with one thread inside the context, and with as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
