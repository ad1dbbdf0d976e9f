"""What one run of a network gave: its result, its backward, and how far apart two runs are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from itertools import chain
from numbers import Number
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.tensors.graph import nodes_behind, number_of
from relu_demo.tensors.storage import dense, is_freed, same_bits

Leaves = list[tuple[str, Any]]
"""Tensors, numbers and strings, each with its path in the value that holds it."""


Gradients = list[tuple[Tensor, Tensor | None]]
"""Leaves, each with its gradient."""

SUMMED_OTHERWISE = 16.0
"""The gap of two runs' gradients, in roundings, that the order of summation explains.

On random networks that order made a gap of at most 1 rounding, and a fault one of at least 10,000.
"""

_PART = 1 << 18
"""Elements of a gradient that are added up at a time."""


@dataclass(frozen=True)
class Digest:
    """What is kept of a gradient, which is as large as its tensor: sums of its elements, in float64."""

    total: float
    size: float
    """Of the absolute values."""
    uneven: float
    """Of the elements with weights that differ, so that the same elements in another order have another sum."""
    not_finite: float
    """The same of a code for each NaN and infinity, which the other sums leave out."""
    eps: float
    """The relative rounding of its dtype."""


_NONE = Digest(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass
class Outcome:
    """What one run gave. Its tensors are detached: the graph is gone."""

    forward_error: BaseException | None = None
    result: Leaves = field(default_factory=list)
    state: dict[int, Tensor] = field(default_factory=dict)
    """Parameters, buffers and other tensors of the network that the forward may have written to, by number."""
    attributes: Leaves = field(default_factory=list)
    """Tensors that the forward left in plain attributes of modules, and in buffers that it assigned anew."""
    beside: dict[Any, Tensor] = field(default_factory=dict)
    """What is seen outside of the network: what hooks have read, and what they or others keep."""
    backward: bool | None = None
    """Whether it ran; None if nothing requires grad."""
    backward_error: BaseException | None = None
    gradients: dict[int, Digest] = field(default_factory=dict)
    """Of each parameter and input, by number: the digest of its gradient."""
    writes_in_backward: bool = False
    """Whether code of the user's has written in place in backward: where a call is tried, it is out of place there."""
    rounds_alike: bool = False
    """Of a run with one call in place: whether the call gives the same bits both ways; False if unknown."""
    changed: float = 0.0
    """How far the call in place has changed its input."""


def difference(a: Leaves, b: Leaves) -> float | None:
    """Return the largest absolute difference of two results: infinity if shapes, kinds or NaNs differ.

    None if there are no values (meta).
    """
    if [path for path, _ in a] != [path for path, _ in b]:
        return math.inf
    both = [(x, y) for (_, x), (_, y) in zip(a, b, strict=True) if x is not y]
    if any(isinstance(leaf, Tensor) and leaf.device.type == "meta" for leaf in chain.from_iterable(both)):
        return None
    return max((leaf_difference(x, y) for x, y in both), default=0.0)


def leaf_difference(a: Any, b: Any) -> float:
    """Return the largest absolute difference of two leaves; two NaNs are the same.

    Infinity if they differ in kind, dtype, layout or shape, or if there is no number for their difference.
    """
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _tensor_difference(a, b)
    if type(a) is not type(b):
        return math.inf
    if a == b or (a != a and b != b):
        return 0.0
    apart = float(abs(a - b)) if isinstance(a, Number) and not isinstance(a, Enum) else math.inf
    return math.inf if math.isnan(apart) else apart


def _tensor_difference(a: Tensor, b: Tensor) -> float:
    if a.dtype != b.dtype or a.layout != b.layout or a.is_nested != b.is_nested:
        return math.inf
    if is_freed(a) or is_freed(b):  # no values are left to compare
        return 0.0 if is_freed(a) and is_freed(b) else math.inf
    try:
        return _strided_difference(dense(a), dense(b))
    except (RuntimeError, NotImplementedError, TypeError):
        return 0.0 if same_bits(a, b) else math.inf


def _strided_difference(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        return math.inf
    if a.device.type == "meta" or torch.equal(a, b):  # at once, and without another tensor of that size
        return 0.0
    other = (a != b) & ~((a != a) & (b != b))
    if not bool(other.any()):
        return 0.0
    wide = torch.complex128 if a.is_complex() else torch.float64
    apart = (a[other].to("cpu").to(wide) - b[other].to("cpu").to(wide)).abs().max()
    return math.inf if bool(torch.isnan(apart)) else float(apart)


def largest_value(result: Leaves) -> float:
    """Return the largest absolute value in the floating-point tensors of a result, whose infinities do not count."""
    found = [dense(leaf).abs() for _, leaf in result if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    return max((float(each[each.isfinite()].amax()) for each in found if bool(each.isfinite().any())), default=0.0)


def gradients(outputs: list[Tensor], network: nn.Module, since: int) -> Gradients:
    """Run backward from the outputs, and return each leaf that they depend on with its gradient.

    Each `.grad` is put back, and a graph that is older than the node with the number `since` stays whole: it is the
    user's. Raise what backward raises.
    """
    nodes = list(nodes_behind(outputs))
    # The network's own too: a checkpoint (reentrant) hides leaves from the graph.
    reached = (*_leaves_of(outputs, nodes), *network.parameters())
    found = list({id(leaf): leaf for leaf in reached}.values())
    losses = [_loss(output) for output in outputs]
    keep = any(number_of(node) < since for node in nodes)
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


def digests(found: Gradients, numbered: Iterable[Tensor]) -> dict[int, Digest]:
    """Return the digests of the gradients of the tensors in `numbered`, by their positions there."""
    order = {id(tensor): i for i, tensor in enumerate(numbered)}
    return {
        order[id(leaf)]: _digest(grad)
        for leaf, grad in found
        if grad is not None and id(leaf) in order and grad.device.type != "meta"
    }


def gradient_gap(a: Outcome, b: Outcome) -> float:
    """Return how far the gradients of two runs are apart, each in its own roundings; 0 where a backward has raised.

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
    # In parts: a copy of the whole in float64 would be twice the largest gradient.
    parts = [_sums(part, i) for i, part in enumerate(torch.split(_real(grad).flatten(), _PART))]
    total, size, uneven, not_finite = torch.stack(parts).sum(0).tolist() if parts else [0.0] * 4
    return Digest(total, size, uneven, not_finite, torch.finfo(grad.dtype).eps)


def _sums(part: Tensor, number: int) -> Tensor:
    """Return what a digest has of one part: sum, sum of absolute values, uneven sum, that of what is not finite."""
    wide, weights = part.double(), math.cos(number) * _uneven(part.device)[: len(part)]
    codes = torch.nan_to_num(wide, 1.0, 2.0, 3.0) * ~wide.isfinite()
    wide = torch.nan_to_num(wide, 0.0, 0.0, 0.0)
    return torch.stack([wide.sum(), wide.abs().sum(), wide @ weights, codes @ weights])


@lru_cache(maxsize=4)
def _uneven(device: torch.device) -> Tensor:
    return torch.cos(torch.arange(_PART, dtype=torch.float64, device=device))


def _leaves_of(outputs: list[Tensor], nodes: Iterable[Any]) -> Iterator[Tensor]:
    yield from (output for output in outputs if output.grad_fn is None)
    yield from (node.variable for node in nodes if hasattr(node, "variable"))
