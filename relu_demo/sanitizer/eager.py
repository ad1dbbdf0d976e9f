"""Run compiled code uncompiled, so that modes and hooks see its operations."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


@contextmanager
def uncompiled() -> Iterator[None]:
    """Inside the block, call the original Python function of all that torch.compile made."""
    # Nothing has been compiled where torch._dynamo has not been imported; importing it takes a second, and 70 MB.
    with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext():
        yield
