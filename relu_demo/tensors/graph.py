"""Autograd's graph: the nodes behind a tensor, and what each has saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor


def grad_fn_of(tensor: Tensor) -> Any:
    """Return a tensor's node of autograd's graph; None for a leaf or an invalidated view.

    PyTorch refuses to tell the `grad_fn` of a view, and so whether it is a leaf, once its base was written to as it
    may not be: of one of several views (`chunk`), and of one made under `no_grad`.
    """
    with suppress(RuntimeError):
        return tensor.grad_fn
    return None


def is_lost(tensor: Tensor) -> bool:
    """Return whether PyTorch refuses to give a view's `grad_fn`, because its memory was written to."""
    try:
        tensor.grad_fn  # noqa: B018 - is made here, and refused here
    except RuntimeError:
        return True
    return False


def is_leaf(tensor: Tensor) -> bool:
    """Return whether a tensor is a leaf, without changing that; False for a view.

    Asking a view makes its `grad_fn` anew if its base was written to, and PyTorch then allows a write that it refused.
    """
    return not tensor._is_view() and tensor.is_leaf


def nodes_behind(outputs: Iterable[Tensor]) -> Iterator[Any]:
    """Yield each node of autograd's graph behind the outputs, once."""
    waiting = [grad_fn_of(output) for output in outputs]
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting.extend(following for following, _ in node.next_functions)


def number_of(node: Any) -> int:
    """Return when a node was made: each of a thread has a higher number than the one before, a leaf's the highest."""
    return int(node._sequence_nr())


def next_number() -> int:
    """Return a number above that of each node that this thread has made."""
    with torch.inference_mode(False), torch.enable_grad():
        return number_of(torch.ones((), requires_grad=True, device="cpu").neg().grad_fn)


def saved_by(grad_fn: Any) -> Iterator[Tensor]:
    """Yield the tensors that a node has saved for backward: its `_saved_*` (PyTorch's autograd notes, "Saved tensors").

    One that has been overwritten since is left out: PyTorch raises where it is asked for.
    """
    for attribute in dir(grad_fn):
        if attribute.startswith("_saved_"):
            saved = None
            with suppress(RuntimeError):
                saved = getattr(grad_fn, attribute)
            if isinstance(saved, Tensor):
                yield saved
