"""What a forward may change, kept so that it can be put back: a check leaves no trace."""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.network.storage import key_of
from relu_demo.network.tree import map_tensors, tensors
from relu_demo.storage import storage_of


class Snapshot:
    """
    A network's state, and the random generators'. `restore()` puts both back, bit for bit.

    Kept: each module's attributes (parameters, buffers, submodules, hooks, training flags, plain Python attributes
    and the built-in containers in them), the values of all their tensors, gradients, and the generators of Python,
    NumPy and PyTorch on every device in use. Buffers are copied at once. Other tensors are as large as the network, so
    they are copied only when a write is about to reach them: `before_write`. State outside the network (a global
    counter) is not kept.
    """

    def __init__(self, network: nn.Module) -> None:
        self._containers = _Containers(module.__dict__ for module in network.modules())
        self._buffers = {key for buffer in network.buffers() for key in [key_of(buffer)] if key is not None}
        state = {id(tensor): tensor for tensor in _state_tensors(network)}
        self._state = [_Kept(tensor) for tensor in state.values()]
        self._by_key: dict[int, Tensor] = {kept.key: kept.alias for kept in self._state if kept.key is not None}
        self._values: dict[int, Any] = {}
        for key in self._buffers:
            self.before_write(key)
        self._random = list(_random_states(network))

    def holds(self, key: int | None) -> bool:
        """Whether the storage belongs to the network's state."""
        return key in self._by_key

    def before_write(self, key: int | None) -> None:
        """Copy the storage, if it belongs to the network and has not been copied yet."""
        if key is not None and key in self._by_key and key not in self._values:
            alias = self._by_key[key]
            if alias.device.type != "meta":
                self._values[key] = storage_of(alias).clone()

    def written(self) -> dict[int, Tensor]:
        """The state that a forward may have changed: every copied tensor as it is now, by its number."""
        return {i: kept.tensor for i, kept in enumerate(self._state) if kept.key in self._values}

    def restore(self) -> None:
        """Put everything back. Raises RuntimeError if a parameter was written to that no write was announced for."""
        self._containers.restore()
        for state in self._state:
            state.restore()
        for key, values in self._values.items():
            storage_of(self._by_key[key]).copy_(values)
        for state in self._state:
            if state.key not in self._values and state.alias.device.type != "meta" and state.was_written():
                raise RuntimeError("a parameter was written to in one pass and not in another; its old values are lost")
            state.mark()
        self.restore_random()

    def restore_random(self) -> None:
        """Put the random generators back, so that every pass draws the same numbers."""
        for set_state, state in self._random:
            set_state(state)


class _Kept:
    """One tensor of the state, with an alias that still has its memory if `.data` is given another."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.alias = tensor.detach()
        self.key = key_of(tensor)
        self.is_leaf = tensor.is_leaf
        self.requires_grad = tensor.requires_grad
        self.grad = tensor.grad if tensor.is_leaf else None
        self.mark()

    def mark(self) -> None:
        self.version = _version(self.tensor)

    def was_written(self) -> bool:
        return _version(self.tensor) != self.version

    def restore(self) -> None:
        if key_of(self.tensor) != self.key:
            self.tensor.data = self.alias
        if self.is_leaf and not self.tensor.is_leaf:
            # Something that requires grad was added to a buffer: it has a grad_fn now.
            self.tensor.detach_()
        if self.is_leaf:
            if self.tensor.requires_grad != self.requires_grad:
                self.tensor.requires_grad_(self.requires_grad)
            if self.tensor.grad is not self.grad:
                self.tensor.grad = self.grad


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else int(tensor._version)


def _state_tensors(network: nn.Module) -> Iterator[Tensor]:
    for tensor in _registered(network):
        yield tensor
        if tensor.is_leaf and tensor.grad is not None:
            yield tensor.grad


_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)
_PLAIN = {bool, int, float, str, type(None)}


def _registered(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()
    yield from attribute_tensors(network).values()


def attribute_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Tensors that modules keep as plain attributes, by name: what a forward may leave there for later."""
    found = {}
    for path, module in network.named_modules():
        for attribute, value in module.__dict__.items():
            if attribute not in _OF_EVERY_MODULE and not _is_plain(value):
                for i, tensor in enumerate(tensors(value)):
                    found[f"{path}.{attribute}".lstrip(".") + (f"[{i}]" if i else "")] = tensor
    return found


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN or (type(value) is tuple and all(type(item) in _PLAIN for item in value))


class _Containers:
    """Built-in containers, and those in them, with what was in each."""

    def __init__(self, roots: Iterable[Any]) -> None:
        self._empty: list[Any] = []
        self._full: list[tuple[Any, list[Any]]] = []
        seen: set[int] = set()
        waiting = list(roots)
        while waiting:
            container = waiting.pop()
            if id(container) in seen:
                continue
            seen.add(id(container))
            if not container:
                self._empty.append(container)
                continue
            self._full.append((container, _items(container)))
            inside = container.values() if isinstance(container, dict) else container
            waiting.extend(item for item in inside if isinstance(item, (dict, list, set, deque)))

    def restore(self) -> None:
        for container in self._empty:
            if container:
                container.clear()
        for container, items in self._full:
            now = _items(container)
            if len(now) != len(items) or not all(map(is_, now, items)):
                container.clear()
                if isinstance(container, dict):
                    container.update(zip(items[::2], items[1::2], strict=True))
                elif isinstance(container, set):
                    container.update(items)
                else:
                    container.extend(items)


def _items(container: Any) -> list[Any]:
    """What is in it: of a mapping, keys and values in turn."""
    return [*chain.from_iterable(container.items())] if isinstance(container, dict) else [*container]


def _random_states(network: nn.Module) -> Iterator[tuple[Callable[[Any], Any], Any]]:
    yield random.setstate, random.getstate()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        yield numpy.random.set_state, numpy.random.get_state()
    yield torch.set_rng_state, torch.get_rng_state()
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        yield torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()
    mps = getattr(torch, "mps", None)
    if mps is not None and torch.backends.mps.is_available():
        yield mps.set_rng_state, mps.get_rng_state()
    for module in network.modules():
        for value in module.__dict__.values():
            if isinstance(value, torch.Generator):
                yield value.set_state, value.get_state()


def copy_inputs(value: Any, kept: Snapshot) -> Any:
    """
    The caller's arguments with a copy of every tensor, so that no pass can reach the caller's own.

    Tensors that share a storage share one in the copy. Leaf stays leaf, view stays view, strides stay. A tensor
    that belongs to the network's own state is passed as it is.
    """
    found = list(tensors(value))
    by_key: dict[int | None, set[int]] = {}
    for tensor in found:
        by_key.setdefault(key_of(tensor), set()).add(id(tensor))
    twins: dict[int, Tensor] = {}
    bases: dict[int, Tensor] = {}

    def copied(tensor: Tensor) -> Tensor:
        if id(tensor) not in twins:
            twins[id(tensor)] = _copy(tensor, kept, len(by_key[key_of(tensor)]) > 1, bases)
        return twins[id(tensor)]

    return map_tensors(value, copied)


def _copy(tensor: Tensor, kept: Snapshot, shared: bool, bases: dict[int, Tensor]) -> Tensor:
    key = key_of(tensor)
    if kept.holds(key):
        return tensor
    inner = tensor.requires_grad and not tensor.is_leaf
    with torch.enable_grad():
        if key is None or not (shared or tensor._is_view() or not _is_whole(tensor)):
            twin = tensor.detach().clone()
            if isinstance(tensor, nn.Parameter):
                return nn.Parameter(twin, requires_grad=tensor.requires_grad)
            twin.requires_grad_(tensor.requires_grad)
            return twin.clone() if inner else twin
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
