"""Autograd's graph: the nodes behind a tensor, and what each has saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from torch import Tensor


def graph(outputs: Iterable[Tensor]) -> Iterator[Any]:
    """Yield each node of autograd's graph behind the outputs, once."""
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


def saved_by(grad_fn: Any) -> Iterator[Tensor]:
    """
    Yield the tensors that a node has saved for backward: its `_saved_*` (PyTorch's autograd notes, "Saved tensors").

    One that has been overwritten since is left out: PyTorch raises where it is asked for.
    """
    for attribute in dir(grad_fn):
        if attribute.startswith("_saved_"):
            saved = None
            with suppress(RuntimeError):
                saved = getattr(grad_fn, attribute)
            if isinstance(saved, Tensor):
                yield saved
