"""Copies of what a network is given, for every pass: new tensors, and new containers and objects around them."""

from __future__ import annotations

import copy
import functools
from collections import deque
from collections.abc import Callable, Container
from operator import is_
from types import MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from relu_demo.network.state.contents import ENDS, FIXED, attributes, contents, is_small, tensors
from relu_demo.tensors.storage import is_strided, key_of, storage_of

if TYPE_CHECKING:
    from relu_demo.network.state.snapshot import Snapshot


def copy_inputs(value: Any, kept: Snapshot) -> Any:
    """
    The caller's arguments with a copy of every tensor and container, so that no pass can reach the caller's own.

    Tensors that share a storage share one in the copy. Leaf stays leaf, view stays view, strides stay. What belongs
    to the network's own state is passed as it is.
    """
    found = list(tensors(value))
    by_key: dict[int | None, set[int]] = {}
    for tensor in found:
        by_key.setdefault(key_of(tensor), set()).add(id(tensor))
    twins: dict[int, Tensor] = {}
    bases: dict[int, Tensor] = {}

    def twin(tensor: Tensor) -> Tensor:
        if id(tensor) not in twins:
            twins[id(tensor)] = _copy(tensor, kept, len(by_key[key_of(tensor)]) > 1, bases)
        return twins[id(tensor)]

    return copied(value, twin, kept.own)


def not_copied(arguments: Any) -> list[Tensor]:
    """The caller's tensors in objects that cannot be copied."""
    reached: set[int] = set()

    def note(tensor: Tensor) -> Tensor:
        reached.add(id(tensor))
        return tensor

    copied(arguments, note)
    return [tensor for tensor in tensors(arguments) if id(tensor) not in reached]


def _copy(tensor: Tensor, kept: Snapshot, shared: bool, bases: dict[int, Tensor]) -> Tensor:
    key = key_of(tensor)
    if kept.holds(key):
        return tensor
    inner = tensor.requires_grad and not tensor.is_leaf
    with torch.enable_grad():
        if not is_strided(tensor) or not (shared or tensor._is_view() or not _is_whole(tensor)):
            twin = tensor.detach().clone()
            if isinstance(tensor, nn.Parameter):
                return nn.Parameter(twin, requires_grad=tensor.requires_grad)
            twin.requires_grad_(tensor.requires_grad)
            return twin.clone() if inner else twin
        assert key is not None
        if key not in bases:
            length = storage_of(tensor).nbytes() // tensor.element_size()
            flat = tensor.detach().as_strided((length,), (1,), 0).clone()
            bases[key] = flat.requires_grad_().clone() if inner else flat
        base = bases[key]
        if base.dtype != tensor.dtype:
            base = base.detach().view(tensor.dtype)
        twin = base.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
        return twin if inner else twin.requires_grad_(tensor.requires_grad)


def _is_whole(tensor: Tensor) -> bool:
    return bool(tensor.numel() * tensor.element_size() == storage_of(tensor).nbytes())


def copied(value: Any, change: Callable[[Tensor], Tensor], same: Container[int] = ()) -> Any:
    """
    The value with each tensor changed, in new containers and new objects around them, what was one being one again.

    Objects without tensors and containers in them stay as they are; so does what cannot be copied, and what has its
    id in `same`.
    """
    done: dict[int, tuple[Any, Any]] = {}

    def one(value: Any) -> Any:
        if isinstance(value, Tensor):
            return change(value)
        if isinstance(value, ENDS) or id(value) in same:
            return value
        if id(value) not in done:
            # The value is kept too, so that its id stays its own.
            done[id(value)] = value, _rebuilt(value, one) if isinstance(value, FIXED) else twin(value)
        return done[id(value)][1]

    def twin(value: Any) -> Any:
        new = _shallow(value)
        if new is value:
            return value
        done[id(value)] = value, new
        changed = [(name, item) for name, old in attributes(value) for item in [one(old)] if item is not old]
        for name, item in changed:
            put(new, name, item)
        if isinstance(value, (dict, list, set, deque)):
            _fill(new, value, one)
        elif not changed and (contents(value) is not None or is_small(value)):
            return value
        return new

    return one(value)


def _shallow(value: Any) -> Any:
    try:
        new = copy.copy(value)
    except Exception:
        return value
    return new if type(new) is type(value) else value


def _fill(new: Any, old: Any, one: Callable[[Any], Any]) -> None:
    """Put copies of the old container's items into the new one, which has the old items so far."""
    if isinstance(old, dict):
        # Item by item, as a class derived from it may want: some keep each as an attribute as well.
        for key, item in old.items():
            changed = one(item)
            if changed is not item:
                new[key] = changed
        return
    items = [one(item) for item in old]
    base: Any = next(kind for kind in (list, set, deque) if isinstance(new, kind))
    base.clear(new)
    (base.update if base is set else base.extend)(new, items)


def _rebuilt(value: Any, one: Callable[[Any], Any]) -> Any:
    """What cannot be filled later, made again around copies of its parts; itself if they are the same."""
    if isinstance(value, MappingProxyType):
        return MappingProxyType(one(value.copy()))
    if isinstance(value, MethodType):
        return MethodType(value.__func__, one(value.__self__))
    if isinstance(value, functools.partial):
        return functools.partial(
            one(value.func), *map(one, value.args), **{k: one(v) for k, v in value.keywords.items()}
        )
    items = [one(item) for item in value]
    beside = [(name, old, one(old)) for name, old in attributes(value)]
    if all(map(is_, value, items)) and all(old is item for _, old, item in beside):
        return value
    try:
        new = tuple.__new__(type(value), items) if isinstance(value, tuple) else type(value)(items)
    except TypeError:  # what an operator of PyTorch gives (torch.max) is made otherwise
        new = type(value)(items)
    for name, _, item in beside:
        put(new, name, item)
    return new


def put(holder: Any, name: str, value: Any) -> None:
    """Set an attribute, also of an object that allows nobody to."""
    own = getattr(holder, "__dict__", {})
    if name in own:
        own[name] = value
    else:
        object.__setattr__(holder, name, value)
