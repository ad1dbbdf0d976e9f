"""
Whether a gradient is wrong: a node of the graph runs a second time, on what it saved as that was when it saved it.

That a saved tensor was overwritten proves nothing: ReLU's backward asks only where its result is above zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from relu_demo.watching.saved_tensors import Hold, Saved

CLOSE = 1e-5
"""How far two runs of one node may be from each other, relative to the larger number: threads add in any order."""


def saved_at(node: Any) -> Iterator[Saved]:
    """Yield what the watch holds for a node of C++, without unpacking it; PyTorch before 2.9 tells of nothing."""
    if not callable(node):  # a custom Function's
        return
    for attribute in dir(node):
        if attribute.startswith("_raw_saved_"):
            raw = getattr(node, attribute, None)
            for each in raw if isinstance(raw, (list, tuple)) else (raw,):
                held = getattr(each, "data", None)
                if isinstance(held, Hold):
                    yield held.saved


def is_wrong(node: Any, overwritten: Sequence[Saved], given: Sequence[Any], received: Sequence[Any]) -> bool:
    """Return whether what a node gave for the gradients that it received differs on the copies of what it saved."""
    for saved in overwritten:
        saved.instead = saved.kept
    try:
        with torch.no_grad():
            again = node(*received)
    finally:
        for saved in overwritten:
            saved.instead = None
    right = again if isinstance(again, tuple) else (again,)
    return not all(map(_is_close, given, right))


def _is_close(given: Any, right: Any) -> bool:
    if not (isinstance(given, Tensor) and isinstance(right, Tensor)):
        return given is right
    if right.shape != given.shape:  # the engine adds up what was broadcast
        right = right.sum_to_size(given.shape)
    if given.layout is not torch.strided:
        given, right = given.to_dense(), right.to_dense()
    return torch.allclose(given, right.to(given.dtype), rtol=CLOSE, atol=0, equal_nan=True)
