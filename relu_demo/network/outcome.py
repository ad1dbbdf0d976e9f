"""What one run of a network gave, and how far apart two runs are."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from numbers import Number
from typing import Any

import torch
from torch import Tensor

from relu_demo.tensors.storage import dense, is_freed

Leaves = list[tuple[str, Any]]
"""Tensors, numbers and strings, each with its path in the value that holds it."""


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


@dataclass
class Outcome:
    """What one run gave. Its tensors are detached: the graph is gone."""

    forward_error: BaseException | None = None
    result: Leaves = field(default_factory=list)
    state: dict[int, Tensor] = field(default_factory=dict)
    """Parameters, buffers and other tensors of the network that the forward may have written to, by number."""
    attributes: Leaves = field(default_factory=list)
    """Tensors that the forward left in plain attributes of modules, and in buffers that it assigned anew."""
    seen_by_hooks: Leaves = field(default_factory=list)
    """What modules with hooks were given and gave, as their hooks saw it, if recorded."""
    backward: bool | None = None
    """Whether it ran; None if nothing requires grad."""
    backward_error: BaseException | None = None
    gradients: dict[int, Digest] = field(default_factory=dict)
    """Of each parameter and input, by number: the digest of its gradient."""
    rounds_alike: bool = False
    """Of a run with one call in place: that rounds as out of place, which was tried; False where nobody knows."""
    changed: float = 0.0
    """How far the call in place has changed its input, if measured."""
    held: dict[int, Tensor] = field(default_factory=dict)
    """By the index of a call: a copy of what is held outside of its input, as the forward has left it, if recorded."""


@dataclass(frozen=True)
class Difference:
    """How far apart two results are."""

    largest: float | None
    """Largest absolute difference; infinity if shapes, kinds or NaNs differ; None if there are no values (meta)."""
    beyond_rounding: bool
    """Whether it is more than 100 roundings (float32 or coarser) of the tensor's largest value. Tells noise only."""


def difference(a: Leaves, b: Leaves) -> Difference:
    """Return the difference of two results, leaf by leaf."""
    if [path for path, _ in a] != [path for path, _ in b]:
        return Difference(math.inf, True)
    both = [(x, y) for (_, x), (_, y) in zip(a, b, strict=True) if x is not y]
    if any(isinstance(leaf, Tensor) and leaf.device.type == "meta" for leaf in chain.from_iterable(both)):
        return Difference(None, False)
    largest, beyond = 0.0, False
    for x, y in both:
        apart = leaf_difference(x, y)
        largest = max(largest, apart)
        beyond = beyond or (apart > 0 and apart > _rounding(x))
    return Difference(largest, beyond)


def leaf_difference(a: Any, b: Any) -> float:
    """
    Return the largest absolute difference of two leaves; two NaNs are the same.

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
        return 0.0 if _has_same_bytes(a, b) else math.inf


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


def _has_same_bytes(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of a kind without arithmetic have the same bytes; False where these cannot be looked at."""
    with suppress(RuntimeError, NotImplementedError, TypeError):
        return a.shape == b.shape and torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))
    return False


def _rounding(value: Any) -> float:
    eps = torch.finfo(torch.float32).eps
    if isinstance(value, float):
        return 100 * eps * abs(value)
    if not isinstance(value, Tensor) or not (value.is_floating_point() or value.is_complex()) or not value.numel():
        return 0.0
    if is_freed(value):
        return 0.0
    sizes = dense(value).abs()
    finite = sizes[torch.isfinite(sizes)]
    return 100 * max(eps, torch.finfo(value.dtype).eps) * (float(finite.max()) if finite.numel() else 0.0)
