"""Run compiled code uncompiled, so that modes and hooks see its operations."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def uncompiled() -> Iterator[None]:
    """Inside the block, call the original Python function of all that torch.compile made (PyTorch 2.6 and later)."""
    compiler = getattr(torch, "compiler", None)
    # Nothing has been compiled where torch._dynamo has not been imported; importing it takes a second, and 70 MB.
    if "torch._dynamo" in sys.modules and hasattr(compiler, "set_stance"):
        with compiler.set_stance("force_eager"):  # type: ignore[union-attr]
            yield
    else:
        yield
