"""The real backward of a trial run: its loss, gradients and their digests, and the gap between two runs' gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.network.outcome import Digest, Outcome
from relu_demo.tensors.graph import graph, number_of
from relu_demo.tensors.storage import dense

Gradients = list[tuple[Tensor, Tensor | None]]
"""Leaves, each with its gradient."""

SUMMED_OTHERWISE = 16.0
"""
The gap of two runs' gradients, in roundings, that the order of summation explains.

On random networks that order made a gap of at most 1 rounding, and a fault one of at least 10,000.
"""

_NONE = Digest(0.0, 0.0, 0.0, 0.0, 0.0)
_PART = 1 << 18
"""Elements of a gradient that are added up at a time."""


def gradients(outputs: list[Tensor], network: nn.Module, since: float) -> Gradients:
    """
    Run backward from the outputs, and return each leaf that they depend on with its gradient.

    Each `.grad` is put back, and a graph that is older than the node with the number `since` stays whole: it is the
    user's. Raise what backward raises.
    """
    nodes = list(graph(outputs))
    # The network's own too: a checkpoint (reentrant) hides leaves from the graph.
    reached = (*_leaves_of(outputs, nodes), *network.parameters())
    found = list({id(leaf): leaf for leaf in reached}.values())
    losses = [_loss(output) for output in outputs]
    keep = math.isinf(since) or any(number_of(node) < since for node in nodes)
    if any(getattr(leaf, "_post_accumulate_grad_hooks", None) for leaf in found):
        # Such a hook may be an optimizer's step; `grad` does not call it.
        given = [leaf for leaf in found if leaf.requires_grad]
        return list(zip(given, torch.autograd.grad(losses, given, retain_graph=keep, allow_unused=True), strict=True))
    before = [leaf.grad for leaf in found]
    try:
        for leaf in found:
            leaf.grad = None
        torch.autograd.backward(losses, retain_graph=keep)
        return [(leaf, leaf.grad) for leaf in found]
    finally:
        for leaf, grad in zip(found, before, strict=True):
            leaf.grad = grad


def digest_gradients(outcome: Outcome, found: Gradients, numbered: Iterable[Tensor]) -> None:
    """Note the digests of the gradients of the tensors in `numbered`, by their positions there."""
    order = {id(tensor): i for i, tensor in enumerate(numbered)}
    for leaf, grad in found:
        if grad is not None and id(leaf) in order and grad.device.type != "meta":
            outcome.gradients[order[id(leaf)]] = _digest(grad)


def gradient_gap(a: Outcome, b: Outcome) -> float:
    """
    Return how far the gradients of two runs are apart, each in its own roundings; 0 where a backward has raised.

    A gap up to `SUMMED_OTHERWISE` comes from the order in which autograd sums, which a view in place changes.
    """
    if a.backward is False or b.backward is False:
        return 0.0
    both = [(a.gradients.get(i, _NONE), b.gradients.get(i, _NONE)) for i in {*a.gradients, *b.gradients}]
    return max((_gap(x, y) for x, y in both), default=0.0)


def _gap(a: Digest, b: Digest) -> float:
    if a.not_finite != b.not_finite:
        return math.inf
    gap = max(abs(a.total - b.total), abs(a.uneven - b.uneven), abs(a.size - b.size))
    rounding = max(a.eps, b.eps) * max(a.size, b.size)
    return gap / rounding if rounding else math.inf if gap else 0.0


def _loss(output: Tensor) -> Tensor:
    # Weights that differ, so that a softmax, whose elements sum to 1, has a gradient too; and no random number drawn.
    real = _real(output)
    ramp = torch.arange(real.numel(), device=real.device, dtype=torch.float32)
    return (real * torch.cos(ramp).reshape(real.shape).to(real.dtype)).sum()


def _real(tensor: Tensor) -> Tensor:
    full = dense(tensor)
    return torch.view_as_real(full.resolve_conj()) if full.is_complex() else full


def _digest(grad: Tensor) -> Digest:
    flat = _real(grad).flatten()
    # In parts: a copy of the whole in float64 would be twice the largest gradient.
    parts = [_sums(part, i) for i, part in enumerate(torch.split(flat, _PART))]
    total, size, uneven, not_finite = (math.fsum(column) for column in zip(*parts, strict=True)) if parts else [0.0] * 4
    return Digest(total, size, uneven, not_finite, torch.finfo(grad.dtype).eps)


def _sums(part: Tensor, number: int) -> tuple[float, float, float, float]:
    """Return what a digest has of one part: sum, sum of absolute values, uneven sum, that of what is not finite."""
    wide, weights = part.double(), _uneven(part.device)[: len(part)]
    total, uneven, not_finite = float(wide.sum()), float(wide @ weights), 0.0
    if not math.isfinite(total):
        codes = torch.nan_to_num(wide, 1.0, 2.0, 3.0) * ~torch.isfinite(wide)
        not_finite = float(codes @ weights)
        wide = torch.nan_to_num(wide, 0.0, 0.0, 0.0)
        total, uneven = float(wide.sum()), float(wide @ weights)
    return total, float(wide.abs_().sum()), math.cos(number) * uneven, math.cos(number) * not_finite


@lru_cache(maxsize=4)
def _uneven(device: torch.device) -> Tensor:
    return torch.cos(torch.arange(_PART, dtype=torch.float64, device=device))


def _leaves_of(outputs: list[Tensor], nodes: Iterable[Any]) -> Iterator[Tensor]:
    yield from (output for output in outputs if output.grad_fn is None)
    yield from (node.variable for node in nodes if hasattr(node, "variable"))
