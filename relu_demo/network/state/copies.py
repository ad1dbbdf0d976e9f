"""Copies of what a network is given, for every pass: new tensors, and new containers and objects around them."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.network.state.contents import ENDS, Parts, contents, is_sentinel, tensors, walk
from relu_demo.tensors.storage import is_strided, key_of, region_of, storage_of

_MUTABLE = (dict, list, set, deque)
_ALIGNED = 64
"""Bytes to which a storage is aligned: a kernel may round otherwise at another offset from there."""
_COPIED = {*_MUTABLE, tuple, MappingProxyType}
"""Classes whose instances can always be copied."""


def copy_inputs(arguments: Any, own: Mapping[int, Any], is_own: Callable[[int | None], bool]) -> Any:
    """
    Return the arguments with a copy of every tensor and container, so that no pass can reach the caller's own.

    Tensors that share a storage share one in the copy. Leaf stays leaf, view stays view, strides stay. The network's
    own state is passed as it is: the holders in `own`, by id, and tensors of whose storage's key `is_own` is true. So
    are modules, functions, objects in which nothing is copied, and objects that cannot be copied.
    """
    found = {id(tensor): tensor for tensor in tensors(arguments)}
    sharing: dict[int | None, list[Tensor]] = {}
    for tensor in found.values():
        sharing.setdefault(key_of(tensor), []).append(tensor)
    bases: dict[int, tuple[Tensor, int]] = {}

    def twin(tensor: Tensor) -> Tensor:
        key = key_of(tensor)
        return tensor if is_own(key) else _twin(tensor, sharing[key], bases)

    return _copied(arguments, {i: twin(tensor) for i, tensor in found.items()}, own)


def not_copied(arguments: Any) -> list[Tensor]:
    """Return the tensors in the arguments that `copy_inputs` cannot copy, for the objects that hold them."""
    found = {id(tensor): tensor for tensor in tensors(arguments)}
    copied = _copied(arguments, {i: tensor.detach() for i, tensor in found.items()}, {})
    return [tensor for tensor in {id(tensor): tensor for tensor in tensors(copied)}.values() if id(tensor) in found]


def _copied(value: Any, twins: dict[int, Tensor], own: Mapping[int, Any]) -> Any:
    """Return a deep copy of the value with these twins, by id, in place of its tensors."""

    def parts(value: Any) -> Parts | None:
        return None if id(value) in own else contents(value)

    # The list keeps each item alive, so that no id can come to mean another object.
    reached = [(item, inside) for _, item, inside in walk(value, parts=parts)]
    memo: dict[int, Any] = dict(twins)
    for item, inside in reached:
        if inside is None and id(item) not in memo:
            same = id(item) in own or isinstance(item, ENDS) or is_sentinel(item)
            memo[id(item)] = item if same else _shallow(item)

    def is_new(item: Any) -> bool:
        return memo[id(item)] is not item if id(item) in memo else isinstance(item, _MUTABLE)

    for item, inside in reached:
        if inside is not None and type(item) not in _COPIED:
            # Without anything new inside, its copy would be another object for nothing.
            changes = any(is_new(part) for _, part, _ in walk(item, parts=parts))
            if not changes or _deep(item, {id(part): part for _, part in inside}) is item:
                memo[id(item)] = item
    for item, _ in reversed(reached):
        if isinstance(item, MappingProxyType):  # deepcopy has no way to make one
            memo[id(item)] = MappingProxyType(_deep(item.copy(), memo))
    return _deep(value, memo)


def _deep(value: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(value, memo)
    except Exception:
        return value


def _shallow(value: Any) -> Any:
    try:
        new = copy.copy(value)
    except Exception:
        return value
    return new if type(new) is type(value) else value


def _twin(tensor: Tensor, sharing: list[Tensor], bases: dict[int, tuple[Tensor, int]]) -> Tensor:
    """
    Return a copy of one tensor, as a view where it is one, or is one of several that share a storage.

    `sharing`: all tensors of its storage. `bases`: by storage, a copy of the bytes that these reach, and where in the
    storage they begin.
    """
    inner = tensor.requires_grad and not tensor.is_leaf
    with torch.enable_grad():
        if not is_strided(tensor) or not (len(sharing) > 1 or tensor._is_view() or not _is_whole(tensor)):
            twin = tensor.detach().clone()
            if isinstance(tensor, nn.Parameter):
                return nn.Parameter(twin, requires_grad=tensor.requires_grad)
            twin.requires_grad_(tensor.requires_grad)
            return twin.clone() if inner else twin
        key = key_of(tensor)
        assert key is not None
        if key not in bases:
            bases[key] = _base(tensor, sharing, inner)
        base, start = bases[key]
        if base.dtype != tensor.dtype:
            base = base.detach().view(tensor.dtype)
        offset = tensor.storage_offset() - start // tensor.element_size()
        twin = base.as_strided(tensor.shape, tensor.stride(), offset)
        return twin if inner else twin.requires_grad_(tensor.requires_grad)


def _base(tensor: Tensor, sharing: list[Tensor], inner: bool) -> tuple[Tensor, int]:
    """Return a copy of what the tensors of one storage reach, as flat as it is, and its first byte in the storage."""
    regions = [region for region in map(region_of, sharing) if region is not None and is_strided(tensor)]
    whole = storage_of(tensor).nbytes()
    start = min((region.start for region in regions), default=0) // _ALIGNED * _ALIGNED
    end = min(whole, -(-max((region.end for region in regions), default=whole) // _ALIGNED) * _ALIGNED)
    item = tensor.element_size()
    flat = tensor.detach().as_strided(((end - start) // item,), (1,), start // item).clone()
    return (flat.requires_grad_().clone() if inner else flat), start


def _is_whole(tensor: Tensor) -> bool:
    return bool(tensor.numel() * tensor.element_size() == storage_of(tensor).nbytes())
