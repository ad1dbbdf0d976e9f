"""The real backward of a trial run: its loss, gradients and their digests, and the gap between two runs' gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from relu_demo.network.outcome import Outcome, leaf_difference
from relu_demo.tensors.graph import graph
from relu_demo.tensors.storage import dense

Gradients = list[tuple[Tensor, Tensor | None]]
"""Leaves, each with its gradient."""

SUMMED_OTHERWISE = 16.0
"""
The gap of two runs' gradients, in roundings, that the order of summation explains.

On random networks that order made a gap of at most 1 rounding, and a fault one of at least 10,000.
"""

_PART = 1 << 18
"""Elements of a gradient that are added up at a time."""


def gradients(outputs: list[Tensor], network: nn.Module) -> Gradients:
    """
    Run backward from the outputs, and return each leaf that they depend on with its gradient.

    Each `.grad` is put back. Raise what backward raises.
    """
    # The network's own too: a checkpoint (reentrant) hides leaves from the graph.
    found = list({id(leaf): leaf for leaf in (*_leaves_of(outputs), *network.parameters())}.values())
    losses = [_loss(output) for output in outputs]
    if any(getattr(leaf, "_post_accumulate_grad_hooks", None) for leaf in found):
        # Such a hook may be an optimizer's step; `grad` does not call it.
        given = [leaf for leaf in found if leaf.requires_grad]
        return list(zip(given, torch.autograd.grad(losses, given, allow_unused=True), strict=True))
    before = [leaf.grad for leaf in found]
    try:
        for leaf in found:
            leaf.grad = None
        torch.autograd.backward(losses)
        return [(leaf, leaf.grad) for leaf in found]
    finally:
        for leaf, grad in zip(found, before, strict=True):
            leaf.grad = grad


def digest_gradients(outcome: Outcome, found: Gradients, numbered: Iterable[Tensor]) -> None:
    """Note the digests of the gradients of the tensors in `numbered`, by their positions there. A digest is small."""
    order = {id(tensor): i for i, tensor in enumerate(numbered)}
    for leaf, grad in found:
        if grad is not None and id(leaf) in order and grad.device.type != "meta":
            outcome.gradients[order[id(leaf)]] = _digest(grad)
            outcome.precision = max(outcome.precision, torch.finfo(grad.dtype).eps)


def gradient_gap(a: Outcome, b: Outcome) -> float:
    """
    Return how far the gradients of two runs are apart, each in its own roundings; 0 where a backward is missing.

    A gap up to `SUMMED_OTHERWISE` comes from the order in which autograd sums, which a view in place changes.
    """
    if not a.backward or not b.backward:
        return 0.0
    none = (0.0, 0.0)
    both = [(a.gradients.get(i, none), b.gradients.get(i, none)) for i in {*a.gradients, *b.gradients}]
    precision = max(a.precision, b.precision)
    return max((_gap(x, y, precision) for x, y in both), default=0.0)


def _gap(a: tuple[float, float], b: tuple[float, float], precision: float) -> float:
    gap = max(leaf_difference(p, q) for p, q in zip(a, b, strict=True))
    rounding = precision * max((size for size in (a[1], b[1]) if math.isfinite(size)), default=0.0)
    return gap / rounding if rounding else math.inf if gap else 0.0


def _loss(output: Tensor) -> Tensor:
    # Weights that differ, so that a softmax, whose elements sum to 1, has a gradient too; and no random number drawn.
    full = dense(output)
    real = torch.view_as_real(full) if full.is_complex() else full
    ramp = torch.arange(real.numel(), device=real.device, dtype=torch.float32)
    return (real * torch.cos(ramp).reshape(real.shape).to(real.dtype)).sum()


def _digest(grad: Tensor) -> tuple[float, float]:
    full = dense(grad)
    flat = (torch.view_as_real(full) if full.is_complex() else full).flatten()
    # In parts: a copy of the whole in float64 would be twice the largest gradient.
    sums = [_sums(part.double()) for part in torch.split(flat, _PART)]
    return math.fsum(total for total, _ in sums), math.fsum(size for _, size in sums)


def _sums(wide: Tensor) -> tuple[float, float]:
    return float(wide.sum()), float(wide.abs_().sum())


def _leaves_of(outputs: list[Tensor]) -> Iterator[Tensor]:
    yield from (output for output in outputs if output.grad_fn is None)
    yield from (node.variable for node in graph(outputs) if hasattr(node, "variable"))
