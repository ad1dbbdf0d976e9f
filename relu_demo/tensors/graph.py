"""The graph of autograd behind a network's result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from torch import Tensor


def graph(outputs: Iterable[Tensor]) -> Iterator[Any]:
    """Each node of autograd's graph behind the outputs, once."""
    waiting: list[Any] = []
    for output in outputs:
        # PyTorch refuses to give the grad_fn of one of several views once its base was written to.
        with suppress(RuntimeError):
            waiting.append(output.grad_fn)
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting.extend(following for following, _ in node.next_functions)


def kept_by(grad_fn: Any) -> Iterator[Tensor]:
    """The tensors that a node keeps for backward: its `_saved_*` (PyTorch's autograd notes, "Saved tensors").

    One that has been overwritten since is left out: PyTorch raises where it is asked for.
    """
    for attribute in dir(grad_fn):
        if attribute.startswith("_saved_"):
            kept = None
            with suppress(RuntimeError):
                kept = getattr(grad_fn, attribute)
            if isinstance(kept, Tensor):
                yield kept
