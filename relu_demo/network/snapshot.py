"""What a forward may change, kept so that it can be put back: a check leaves no trace."""

from __future__ import annotations

import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.network.storage import key_of
from relu_demo.network.tree import ENDS, FIXED, contents, copied, ends, in_slots, slots, tensors
from relu_demo.storage import storage_of


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
        self._holders = _Holders(network, arguments)
        self.parameters = [p for module in self._holders.modules for p in module.parameters(recurse=False)]
        """The network's, those of modules in plain lists and objects too."""
        buffers = [buffer for module in self._holders.modules for buffer in module.buffers(recurse=False)]
        self._buffers = {key for buffer in buffers for key in [key_of(buffer)] if key is not None}
        state = {id(tensor): tensor for tensor in _state_tensors(network, self._holders.modules)}
        state.update((id(tensor), tensor) for tensor in _not_copied(arguments))
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


_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)
_PLAIN = {bool, int, float, str, type(None)}


def _registered(network: nn.Module, modules: list[nn.Module]) -> Iterator[Tensor]:
    for module in modules:
        yield from module.parameters(recurse=False)
        yield from module.buffers(recurse=False)
    yield from attribute_tensors(network).values()


def attribute_tensors(network: nn.Module) -> dict[str, Tensor]:
    """
    Tensors that modules keep as plain attributes, by name: what a forward may leave there for later.

    A module in such an attribute (a plain list of them, which PyTorch does not look into) counts as one of the
    network's, its buffers as such tensors.
    """
    found = {}
    waiting = list(network.named_modules())
    known = {id(module) for _, module in waiting}
    for path, module in waiting:
        for attribute, value in module.__dict__.items():
            if attribute in _OF_EVERY_MODULE or _is_plain(value):
                continue
            name, i = f"{path}.{attribute}".lstrip("."), 0
            for place, end in ends(value):
                if isinstance(end, Tensor):
                    found[name + (f"[{i}]" if i else "")] = end
                    i += 1
                elif isinstance(end, nn.Module) and id(end) not in known:
                    more = [(f"{name}{place}.{inner}".rstrip("."), hidden) for inner, hidden in end.named_modules()]
                    known |= {id(hidden) for _, hidden in more}
                    waiting += more
                    found.update((f"{name}{place}.{inner}", buffer) for inner, buffer in end.named_buffers())
    return found


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN or (type(value) is tuple and all(type(item) in _PLAIN for item in value))


_BUILT_IN = (OrderedDict, dict, list, set, deque)
_ALIVE = (
    *("_thread.", "asyncio.", "concurrent.", "logging.", "multiprocessing.", "queue.", "socket.", "threading."),
    *("weakref.", "_weakref.", "torch._dynamo.", "torch._inductor."),
)
"""Parts of Python and PyTorch whose objects change on their own, in threads or with what has been compiled."""


class _Holders:
    """What a network and its arguments hold, however deep: containers, plain objects, modules, random generators."""

    def __init__(self, network: nn.Module, arguments: Any) -> None:
        self.modules: list[nn.Module] = []
        self.random: list[tuple[Callable[[Any], Any], Any]] = []
        self.own: dict[int, Any] = {}
        self._empty: list[Any] = []
        self._full: list[tuple[Any, list[Any]]] = []
        self._slots: list[tuple[Any, dict[str, Any]]] = []
        self._followed: dict[type, bool] = {}
        self._follow(network, self.own)
        self._follow(arguments, dict(self.own))

    def _follow(self, root: Any, seen: dict[int, Any]) -> None:
        waiting = [root]
        while waiting:
            value = waiting.pop()
            if id(value) in seen:
                continue
            seen[id(value)] = value
            if isinstance(value, nn.Module):
                self.modules.append(value)
                inside = self._own_items(value, seen)
            else:
                inside = self._keep(value) if isinstance(value, _BUILT_IN) else []
                inside = inside if type(value) in _BUILT_IN else [*inside, *self._look_into(value)]
            waiting += [item for item in inside if self._is_followed(type(item))]

    def _own_items(self, module: nn.Module, seen: dict[int, Any]) -> list[Any]:
        own = module.__dict__
        seen[id(own)] = own
        self._keep(own)
        inside = []
        for item in own.values():
            # A module has a dozen containers for hooks, nearly always empty: in a large network they are most of all.
            if type(item) in _BUILT_IN and not item:
                seen[id(item)] = item
                self._empty.append(item)
            elif not _is_plain(item):
                inside.append(item)
        return inside

    def _keep(self, container: Any) -> list[Any]:
        items = _items(container)
        if items:
            self._full.append((container, items))
        else:
            self._empty.append(container)
        return items

    def _look_into(self, value: Any) -> list[Any]:
        if isinstance(value, FIXED):
            return [item for _, item in contents(value) or ()]
        state = _random_state(value)
        if state is not None:
            self.random.append(state)
            return []
        held = in_slots(value)
        if slots(type(value)):
            self._slots.append((value, held))
        own = getattr(value, "__dict__", None)
        return [*held.values(), own] if isinstance(own, dict) else [*held.values()]

    def _is_followed(self, kind: type) -> bool:
        if kind not in self._followed:
            self._followed[kind] = _is_followed(kind)
        return self._followed[kind]

    def restore(self) -> None:
        for container in self._empty:
            if container:
                _base(container).clear(container)
        for container, items in self._full:
            now = _items(container)
            if len(now) != len(items) or not all(map(is_, now, items)):
                _refill(container, items)
        for value, held in self._slots:
            changed = in_slots(value)
            for name in changed.keys() - held.keys():
                object.__delattr__(value, name)
            for name, item in held.items():
                if name not in changed or changed[name] is not item:
                    object.__setattr__(value, name, item)


def _is_followed(kind: type) -> bool:
    if issubclass(kind, (*_BUILT_IN, *FIXED, nn.Module, torch.Generator)):
        return True
    return not issubclass(kind, ENDS) and not any(f"{k.__module__}.".startswith(_ALIVE) for k in kind.__mro__)


def _base(container: Any) -> Any:
    # A class derived from it may refuse to be cleared.
    return next(kind for kind in _BUILT_IN if isinstance(container, kind))


def _items(container: Any) -> list[Any]:
    """What is in it: of a mapping, keys and values in turn."""
    base = _base(container)
    return [*chain.from_iterable(base.items(container))] if isinstance(container, dict) else [*base.__iter__(container)]


def _refill(container: Any, items: list[Any]) -> None:
    base = _base(container)
    base.clear(container)
    if isinstance(container, dict):
        for key, item in zip(items[::2], items[1::2], strict=True):
            base.__setitem__(container, key, item)
    elif isinstance(container, set):
        base.update(container, items)
    else:
        base.extend(container, items)


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


def _random_state(value: Any) -> tuple[Callable[[Any], Any], Any] | None:
    """How to put a random generator of the network's own back; None of any other object."""
    if isinstance(value, torch.Generator):
        return value.set_state, value.get_state()
    if isinstance(value, random.Random):
        with suppress(NotImplementedError):  # the operating system's numbers have no state
            return value.setstate, value.getstate()
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.random.RandomState):
        return value.set_state, value.get_state()
    if numpy is not None and isinstance(value, numpy.random.Generator):
        return partial(setattr, value.bit_generator, "state"), value.bit_generator.state
    return None


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


def _not_copied(arguments: Any) -> list[Tensor]:
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
        if not _is_strided(tensor) or not (shared or tensor._is_view() or not _is_whole(tensor)):
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


def _is_strided(tensor: Tensor) -> bool:
    """Whether it is a plain view of its storage: neither nested, sparse, quantized nor of a class of its own."""
    if type(tensor) not in (Tensor, nn.Parameter) or key_of(tensor) is None:
        return False
    return tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_nested


def _is_whole(tensor: Tensor) -> bool:
    return bool(tensor.numel() * tensor.element_size() == storage_of(tensor).nbytes())
