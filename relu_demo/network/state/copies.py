"""Copies of the tensors that a network is given, for every pass, and of what holds them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.network.state.walk import Parts, tensors, visible_parts, walk
from relu_demo.tensors.storage import is_strided, key_of, region_of, storage_of

_ALIGNED = 64
"""Bytes to which a storage is aligned: a kernel may round otherwise at another offset from there."""


def copy_inputs(arguments: Any, own: Container[int], is_own: Callable[[int | None], bool]) -> Any:
    """Return the arguments with a copy of every tensor, so that no pass can reach the caller's own.

    Tensors that share a storage share one in the copy. Leaf stays leaf, view stays view, strides stay. The network's
    own state is passed as it is: what is in `own`, by id, and tensors of whose storage's key `is_own` is true. So is
    what holds no tensor, and what cannot be copied.
    """
    found = {id(tensor): tensor for tensor in tensors(arguments)}
    sharing: dict[int | None, list[Tensor]] = {}
    for tensor in found.values():
        sharing.setdefault(key_of(tensor), []).append(tensor)
    bases: dict[int, tuple[Tensor, int]] = {}
    keys = {i: key_of(tensor) for i, tensor in found.items()}
    twins = {i: _twin(found[i], sharing[key], bases) for i, key in keys.items() if not is_own(key)}
    return _with_twins(arguments, twins, own)


def not_copied(arguments: Any) -> list[Tensor]:
    """Return the tensors in the arguments that `copy_inputs` cannot copy, for the objects that hold them."""
    found = {id(tensor): tensor for tensor in tensors(arguments)}
    copied = _with_twins(arguments, {i: tensor.detach() for i, tensor in found.items()}, ())
    return [tensor for tensor in {id(tensor): tensor for tensor in tensors(copied)}.values() if id(tensor) in found]


def _with_twins(value: Any, twins: dict[int, Tensor], own: Container[int]) -> Any:
    """Return a copy of the value with these twins, by id, in place of its tensors."""

    def look(value: Any) -> Parts | None:
        return None if id(value) in own else visible_parts(value)

    # The list keeps each item alive, so that no id can come to mean another object.
    reached = [(item, inside or []) for _, item, inside in walk(value, look=look)]
    holders: dict[int, list[int]] = {}
    for item, inside in reached:
        for _, part in inside:
            holders.setdefault(id(part), []).append(id(item))
    changed, waiting = set(), [*twins]
    while waiting:
        if (one := waiting.pop()) not in changed:
            changed.add(one)
            waiting += holders.get(one, ())
    memo: dict[int, Any] = {id(item): item for item, _ in reached if id(item) not in changed} | twins
    for item, _ in reversed(reached):  # what an item holds before the item itself
        if id(item) not in memo:
            memo[id(item)] = _deep(item, memo)
    return memo[id(value)]


def _deep(value: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(value, memo)
    except Exception:
        return value


def _twin(tensor: Tensor, sharing: list[Tensor], bases: dict[int, tuple[Tensor, int]]) -> Tensor:
    """Return a copy of one tensor, as a view where it is one, or is one of several that share a storage.

    `sharing`: all tensors of its storage. `bases`: by storage, a copy of the bytes that these reach, and where in the
    storage they begin.
    """
    inner = tensor.requires_grad and not tensor.is_leaf
    with torch.enable_grad():
        is_plain = is_strided(tensor) and tensor.numel() > 0
        if not is_plain or (len(sharing) == 1 and not tensor._is_view() and _is_whole(tensor)):
            twin = tensor.detach().clone()
            if isinstance(tensor, nn.Parameter):
                return nn.Parameter(twin, requires_grad=tensor.requires_grad)
            twin.requires_grad_(tensor.requires_grad)
            return twin.clone() if inner else twin
        key = key_of(tensor)
        assert key is not None
        if key not in bases:
            bases[key] = _flat_base(tensor, sharing, inner)
        base, start = bases[key]
        if base.dtype != tensor.dtype:
            base = base.detach().view(tensor.dtype)
        offset = tensor.storage_offset() - start // tensor.element_size()
        twin = base.as_strided(tensor.shape, tensor.stride(), offset)
        return twin if inner else twin.requires_grad_(tensor.requires_grad)


def _flat_base(tensor: Tensor, sharing: list[Tensor], inner: bool) -> tuple[Tensor, int]:
    """Return a copy of what the tensors of one storage reach, as flat as it is, and its first byte in the storage."""
    regions = [region for region in map(region_of, sharing) if region is not None]
    start = min(region.start for region in regions) // _ALIGNED * _ALIGNED
    end = min(storage_of(tensor).nbytes(), -(-max(region.end for region in regions) // _ALIGNED) * _ALIGNED)
    item = tensor.element_size()
    flat = tensor.detach().as_strided(((end - start) // item,), (1,), start // item).clone()
    return (flat.requires_grad_().clone() if inner else flat), start


def _is_whole(tensor: Tensor) -> bool:
    return bool(tensor.numel() * tensor.element_size() == storage_of(tensor).nbytes())
