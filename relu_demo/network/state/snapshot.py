"""What a forward may change, kept so that it can be put back: a check leaves no trace."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Container, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.network.state.copies import not_copied
from relu_demo.network.state.holders import Holders, attribute_tensors
from relu_demo.tensors.storage import key_of, storage_of


class Snapshot:
    """
    A network's state, and the random generators'. `restore()` puts both back, bit for bit.

    Kept: each module's attributes (parameters, buffers, submodules, hooks, training flags, plain Python attributes),
    the built-in containers and the plain objects in them, whatever modules these hold, the values of all their
    tensors, gradients, the generators of Python, NumPy and PyTorch on every device in use, and the grad mode. Of the
    caller's arguments: the same, but for tensors, of which every pass gets copies. Buffers are copied at once. Other
    tensors are as large as the network, so they are copied only when a write is about to reach them: `before_write`.
    State outside the network (a global counter) is not kept.
    """

    def __init__(self, network: nn.Module, arguments: Any = ()) -> None:
        self._holders = Holders(network, arguments)
        self.parameters = [p for module in self._holders.modules for p in module.parameters(recurse=False)]
        """The network's, those of modules in plain lists and objects too."""
        buffers = [buffer for module in self._holders.modules for buffer in module.buffers(recurse=False)]
        self._buffers = {key for buffer in buffers for key in [key_of(buffer)] if key is not None}
        state = {id(tensor): tensor for tensor in _state_tensors(network, self._holders.modules)}
        state.update((id(tensor), tensor) for tensor in not_copied(arguments))
        self._state = [_Kept(tensor) for tensor in state.values()]
        self._by_key: dict[int, Tensor] = {kept.key: kept.alias for kept in self._state if kept.key is not None}
        self._values: dict[int, Any] = {}
        for key in self._buffers:
            self.before_write(key)
        self._random = [*_random_states(), *self._holders.random]
        self._grad, self._dtype = torch.is_grad_enabled(), torch.get_default_dtype()

    @property
    def own(self) -> Container[int]:
        """Ids of the containers and objects that the network holds."""
        return self._holders.own

    def holds(self, key: int | None) -> bool:
        """Whether the storage belongs to the network's state."""
        return key in self._by_key

    def before_write(self, key: int | None) -> None:
        """Copy the storage, if it belongs to the network and has not been copied yet."""
        if key is not None and key in self._by_key and key not in self._values:
            alias = self._by_key[key]
            if alias.device.type != "meta":
                self._values[key] = storage_of(alias).clone()

    def before_any_write(self) -> None:
        """Copy every storage that has not been copied yet."""
        for key in self._by_key:
            self.before_write(key)

    def written(self) -> dict[int, Tensor]:
        """The state that a forward may have changed: every copied tensor as it is now, by its number."""
        return {i: kept.tensor for i, kept in enumerate(self._state) if kept.key in self._values}

    def restore(self) -> None:
        """Put everything back. Raises RuntimeError if a parameter was written to that no write was announced for."""
        self._holders.restore()
        for state in self._state:
            state.restore()
        for key, values in self._values.items():
            storage_of(self._by_key[key]).copy_(values)
        for state in self._state:
            if state.key not in self._values and state.alias.device.type != "meta" and state.was_written():
                raise RuntimeError("a parameter was written to in one pass and not in another; its old values are lost")
            state.mark()
        self.restore_random()
        self.restore_modes()

    def restore_modes(self) -> None:
        """Put PyTorch's grad mode and default dtype back."""
        if torch.is_grad_enabled() != self._grad:
            torch.set_grad_enabled(self._grad)
        if torch.get_default_dtype() != self._dtype:
            torch.set_default_dtype(self._dtype)

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


def _state_tensors(network: nn.Module, modules: list[nn.Module]) -> Iterator[Tensor]:
    for tensor in _registered(network, modules):
        yield tensor
        if tensor.is_leaf and tensor.grad is not None:
            yield tensor.grad


def _registered(network: nn.Module, modules: list[nn.Module]) -> Iterator[Tensor]:
    for module in modules:
        yield from module.parameters(recurse=False)
        yield from module.buffers(recurse=False)
    yield from attribute_tensors(network).values()


def _random_states() -> Iterator[tuple[Callable[[Any], Any], Any]]:
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
