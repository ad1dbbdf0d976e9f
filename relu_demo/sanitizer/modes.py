"""
Inside a block, no default hooks on saved tensors and no modes; and what a mode needs of older versions of PyTorch.

    with without_modes(), without_hooks():
        torch.jit.trace(model, x)
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import _python_dispatch


@contextmanager
def without_hooks() -> Iterator[None]:
    """Inside the block, have no default hooks on saved tensors."""
    hooks = torch._C._autograd
    taken: list[Any] = []
    while (pair := _top_hooks()) is not None:
        taken.append(pair)
        hooks._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for pair in reversed(taken):
            hooks._push_saved_tensors_default_hooks(*pair)


_noted = threading.local()
"""`.pairs`: the default hooks on saved tensors that this thread has entered, where PyTorch does not tell them."""


def _top_hooks() -> Any:
    top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    if top is not None:
        return top(True)
    pairs = getattr(_noted, "pairs", [])
    return pairs[-1] if pairs else None


@contextmanager
def hooks_noted() -> Iterator[None]:
    """Inside the block, note which hooks on saved tensors are entered: PyTorch 2.6 and older do not tell them."""
    hooks: Any = torch._C._autograd
    push, pop = hooks._push_saved_tensors_default_hooks, hooks._pop_saved_tensors_default_hooks
    if hasattr(hooks, "_top_saved_tensors_default_hooks") or hasattr(push, "__wrapped__"):
        yield
        return
    _noted.pairs = []

    @functools.wraps(push)
    def noted_push(*pair: Any) -> None:
        push(*pair)
        _noted.__dict__.setdefault("pairs", []).append(pair)  # another thread has none yet

    @functools.wraps(pop)
    def noted_pop() -> None:
        pop()
        if getattr(_noted, "pairs", []):
            _noted.pairs.pop()

    hooks._push_saved_tensors_default_hooks, hooks._pop_saved_tensors_default_hooks = noted_push, noted_pop
    try:
        yield
    finally:
        hooks._push_saved_tensors_default_hooks, hooks._pop_saved_tensors_default_hooks = push, pop


@contextmanager
def without_modes() -> Iterator[None]:
    """Inside the block, have no modes on functions and operators."""
    taken = []
    while torch._C._len_torch_function_stack():
        taken.append(torch._C._pop_torch_function_stack())
    try:
        with _python_dispatch._disable_current_modes():
            yield
    finally:
        for mode in reversed(taken):
            torch._C._push_on_torch_function_stack(mode)
