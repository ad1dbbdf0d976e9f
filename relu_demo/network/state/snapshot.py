"""A network's state, to be put back after each run: a check leaves no trace.

The model, its inputs, what its hooks keep and the random generators are as before, or the report says what is not.
"""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache, partial
from itertools import cycle
from operator import attrgetter, is_, methodcaller
from types import CellType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.network.state.copies import not_copied
from relu_demo.network.state.walk import (
    CONTAINERS,
    PLAIN_TYPES,
    attribute_tensors,
    class_data,
    held_by_function,
    reachable,
    tensors,
)
from relu_demo.tensors.graph import grad_fn_of
from relu_demo.tensors.storage import bytes_of, inner_tensors, is_strided, key_of, shape_of, storage_of, version_of

Get = Callable[[Any], Any]
"""Gives a part of an object's state."""
Put = Callable[[Any, Any], object]
"""Puts it back: the object, and what it was."""
_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


class Snapshot:
    """The state of a network, of its inputs and of the random generators. `restore()` puts all back, bit for bit.

    The network's own state is what it holds in whatever Python keeps: attributes, containers, objects, the user's
    classes. What only its functions hold (hooks, methods) is put back, too, and counts nowhere else. So is what the
    arguments hold, but for tensors, of which every pass gets copies, and the values of what `adopt` was told of.

    Every storage is copied at once: nobody announces what a run writes.
    """

    def __init__(self, network: nn.Module, arguments: Any = ()) -> None:
        self._network = network
        self.attributes = attribute_tensors(network)
        """The tensors in plain attributes of the network's modules, by name, as they were."""
        self.own: dict[int, Any] = {}
        """What belongs to the network, by id."""
        own = reachable([network, *_generators()], self.own)
        not_given = {id(tensor) for tensor in not_copied(arguments)}
        given = {id(tensor): tensor for tensor in tensors(arguments) if id(tensor) not in not_given}
        entered = self.own | given
        own += reachable([arguments], entered)
        held = [item for function in _of(FunctionType, own) for item in held_by_function(function)]
        beside = reachable(held, entered, held_by_function)
        self.parameters: list[Tensor] = _of(nn.Parameter, own)
        """The parameters of the network, those in plain lists and objects too."""
        self._state = [RecordedTensor(tensor) for tensor in _with_gradients(own)]
        self._every = self._state + [RecordedTensor(tensor) for tensor in _with_gradients(beside)]
        self._known = {state.key for state in self._state if state.key is not None}
        self._storages: dict[int | None, tuple[Any, Tensor, Tensor] | None] = {}
        """By its key each storage, its bytes now, and a copy of them; None if it cannot be copied."""
        for state in self._every:
            self._copy_storage(state.alias)
        for tensor in [tensor for state in self._every for tensor in state.inner]:
            self.adopt(tensor)
        self._overwritten: set[int] = set()
        self._grad, self._dtype = torch.is_grad_enabled(), torch.get_default_dtype()
        self._before: list[tuple[Get, Put | None, Any, Any]] = []
        """How a part of an object's state is read, and put back, the object, and what that was."""
        self._empty: list[Any] = []
        """Containers in which nothing was, as most of a module's dictionaries are."""
        self._refusing: list[tuple[Any, str]] = []
        for one in (*own, *beside):
            kind: type = type(one)
            if kind in CONTAINERS and not one:
                self._empty.append(one)
                continue
            try:
                self._before += [(get, put, one, get(one)) for get, put in _ways(kind)]
            except Exception as error:
                self._refusing.append((one, f"raised {type(error).__name__} when it was looked at"))

    def holds(self, key: int | None) -> bool:
        """Return whether the storage with this key belongs to the network's state."""
        return key in self._known

    def adopt(self, tensor: Tensor) -> None:
        """Copy a storage that is neither the network's nor the arguments', before the first write: a global's."""
        key = key_of(tensor)
        if key is not None and key not in self._known:
            self._known.add(key)
            self._every.append(RecordedTensor(tensor.detach()))
            self._copy_storage(tensor)

    def _copy_storage(self, tensor: Tensor) -> None:
        key = key_of(tensor)
        if key not in self._storages and tensor.device.type != "meta":
            self._storages[key] = None
            with suppress(RuntimeError, NotImplementedError):  # no bytes of its own: of a tensor that wraps others
                storage = storage_of(tensor)
                self._storages[key] = storage, bytes_of(storage), bytes_of(storage.clone())

    def overwritten(self) -> dict[int, Tensor]:
        """Return the tensors that a run has overwritten, as they are now, by their number in the state."""
        return {i: self._state[i].tensor for i in sorted(self._overwritten)}

    def note_overwritten(self) -> dict[int, Tensor]:
        """Return the tensors that have changed, and those that must be compared to know it, by number."""
        other = {key for key, each in self._storages.items() if each is not None and not _is_as_it_was(*each)}
        found = {i: state.tensor for i, state in enumerate(self._state) if state.key in other or state.inner}
        self._overwritten |= found.keys()
        return found

    def restore(self) -> None:
        """Put everything back."""
        for one in filter(None, self._empty):
            one.clear()
        for _, put, one, before in self._before:
            try:
                if put is not None:
                    put(one, before)
            except Exception:  # a class that refuses
                continue
        for state in self._every:
            state.restore()
        for each in self._storages.values():
            if each is not None and not _is_as_it_was(*each):
                storage, now, copy = each
                if storage.nbytes() != copy.numel():
                    storage.resize_(copy.numel())
                now.copy_(copy)
        written = [state for state in self._every if state.is_overwritten()]
        for state in written:
            is_copied = state.key is not None and self._storages.get(state.key) is not None
            state.is_lost |= not (is_copied or state.inner or state.alias.device.type == "meta")
        _restore_versions(state for state in written if not state.is_lost)
        self.restore_modes()

    def restore_modes(self) -> None:
        """Put PyTorch's grad mode and default dtype back."""
        torch.set_grad_enabled(self._grad)
        if torch.get_default_dtype() != self._dtype:
            torch.set_default_dtype(self._dtype)

    def moved(self) -> list[Any]:
        """Return the iterators, files and the like that have moved on, which Python cannot put back."""
        return [one for get, put, one, before in self._before if put is None and get(one) != before]

    def unrestored(self) -> list[tuple[str, str, str]]:
        """Return what could not be put back: of each object its name in the network, its class, and why."""
        lost = [*self._refusing, *((value, "has moved on, and cannot be put back") for value in self.moved())]
        lost += [(state.tensor, why) for state in self._every if (why := state.unrestored()) is not None]
        names = {id(tensor): name for name, tensor in self.attributes.items()}
        for path, module in self._network.named_modules() if lost else ():
            for name, item in (*vars(module).items(), *module._parameters.items(), *module._buffers.items()):
                names.setdefault(id(item), f"{path}.{name}".lstrip("."))
        return [(names.get(id(value), ""), type(value).__name__, why) for value, why in lost]


def _of(kind: type, found: Iterable[Any]) -> list[Any]:
    return [one for one in found if issubclass(type(one), kind)]


def _with_gradients(found: Iterable[Any]) -> list[Tensor]:
    those = _of(Tensor, found)
    grads = [tensor.grad for tensor in those if has_no_graph(tensor) and tensor.grad is not None]
    return [*{id(tensor): tensor for tensor in (*those, *grads)}.values()]


def _generators() -> Iterator[Any]:
    """Yield the random generators of Python, PyTorch and NumPy that functions draw from."""
    yield from (random.setstate, torch.default_generator, *torch.cuda.default_generators)
    if torch.backends.mps.is_available():
        yield torch.mps._get_default_mps_generator()
    yield from (sys.modules["numpy"].random.set_state.__self__,) if "numpy" in sys.modules else ()


# --- Python's objects


@cache
def _ways(kind: type) -> tuple[tuple[Get, Put | None], ...]:
    """Return how each part of the state of a class's objects is read, and put back; None where Python cannot."""
    ways: list[tuple[Get, Put | None]] = [(_items_of, _refill)] if issubclass(kind, CONTAINERS) else []
    if kind in CONTAINERS or issubclass(kind, (Tensor, FunctionType)):
        return tuple(ways)
    if issubclass(kind, type):
        return ((class_data, _restore_class),)
    if kind.__dictoffset__:
        ways.append((attrgetter("__dict__"), partial(_restore_dict, kind)))
    if any("__slots__" in vars(base) for base in kind.__mro__):
        ways.append((_slots_of, _restore_slots))
    names = (f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)
    hidden = [_HIDDEN[name] for name in names if name in _HIDDEN]
    if issubclass(kind, Iterator) and not hidden:
        hidden = [(_progress_of, None)]
    return (*ways, *hidden)


def _restore_dict(kind: type, value: Any, before: dict[str, Any]) -> None:
    if type(value) is not kind:
        object.__setattr__(value, "__class__", kind)
    if value.__dict__ is not before:
        object.__setattr__(value, "__dict__", before)


def _items_of(container: Any) -> list[Any]:
    """Return what is in a container, whatever its class has made of its methods: of a dict keys, then values."""
    base = _builtin_of(container)
    if issubclass(base, dict):
        return [*base.keys(container), *base.values(container)]
    return [*base.__iter__(container)]


def _builtin_of(container: Any) -> Any:
    # A class derived from it may refuse to be cleared.
    return next(base for base in CONTAINERS if isinstance(container, base))


def _refill(container: Any, before: list[Any]) -> None:
    now = _items_of(container)
    if len(now) == len(before) and all(map(is_, now, before)):
        return
    base = _builtin_of(container)
    base.clear(container)
    if issubclass(base, dict):
        for key, item in zip(before[: (half := len(before) // 2)], before[half:], strict=True):
            base.__setitem__(container, key, item)
    else:
        (base.update if base is set else base.extend)(container, before)


def _slots_of(value: Any) -> dict[str, Any]:
    state: Any = object.__getstate__(value)
    return state[1] if isinstance(state, tuple) else {}


def _restore_slots(value: Any, before: dict[str, Any]) -> None:
    for name in _slots_of(value).keys() - before.keys():
        object.__delattr__(value, name)
    for name, item in before.items():
        object.__setattr__(value, name, item)


def _restore_class(kind: type, before: dict[str, Any]) -> None:
    now = class_data(kind)
    for name in now.keys() - before.keys():
        delattr(kind, name)
    for name, item in before.items():
        if name not in now or now[name] is not item:
            setattr(kind, name, item)


def _array_of(value: Any) -> tuple[Any, bool]:
    return value.copy(), value.flags.writeable


def _restore_array(value: Any, before: tuple[Any, bool]) -> None:
    copy, writeable = before
    value.shape = copy.shape
    value.flags.writeable = writeable
    if writeable:
        value[...] = copy


def _in_cell(cell: CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


def _restore_cell(cell: CellType, before: list[Any]) -> None:
    if before:
        cell.cell_contents = before[0]
    elif _in_cell(cell):
        del cell.cell_contents


def _progress_of(value: Any) -> object:
    """Return what changes when an iterator or a generator moves on, and those that it draws from."""
    if type(value) is cycle:  # tells nobody where it is
        return object()
    frame = getattr(value, "gi_frame", None)
    left = value.__length_hint__() if hasattr(value, "__length_hint__") else repr(value)
    held = [_progress_of(one) if isinstance(one, Iterator) else _identity(one) for one in gc.get_referents(value)]
    return frame and frame.f_lasti, left, held


def _identity(value: Any) -> object:
    return value if type(value) in PLAIN_TYPES else id(value)  # a new number may get the id of an old one


def _written_in(file: Any) -> object:
    with suppress(OSError, ValueError):  # a terminal, a closed file
        return file.tell(), file.getvalue() if hasattr(file, "getvalue") else None
    return None


_HIDDEN: dict[str, tuple[Get, Put | None]] = {
    "builtins.cell": (_in_cell, _restore_cell),
    "random.Random": (methodcaller("getstate"), lambda value, before: value.setstate(before)),
    **dict.fromkeys(
        ("torch._C.Generator", "numpy.random.mtrand.RandomState"),
        (methodcaller("get_state"), lambda value, before: value.set_state(before)),
    ),
    "numpy.random.bit_generator.BitGenerator": (
        attrgetter("state"),
        lambda value, before: setattr(value, "state", before),
    ),
    "numpy.ndarray": (_array_of, _restore_array),
    "_io._IOBase": (_written_in, None),
    **dict.fromkeys(("builtins.bytearray", "array.array"), (bytes, None)),
}
"""How a state that no attribute shows is read, and put back, by the name of a class that need not be imported."""


# --- tensors


class RecordedTensor:
    """What is recorded of one tensor, with an alias that still has its storage if `.data` is given another."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.alias = tensor.detach()
        self.key = key_of(tensor)
        self.is_lost = False
        """Whether it was written to though its values cannot be copied."""
        self.inner = [] if is_strided(tensor) else inner_tensors(self.alias)
        """The tensors in which its values are, if these are not in its storage."""
        self.version = version_of(tensor)
        self._extent = _extent(tensor)
        self._is_leaf = has_no_graph(tensor)
        self._graph = _graph_of(tensor)
        self._keeps_grad = self._is_leaf or (not tensor._is_view() and tensor.retains_grad)
        self._grad = tensor.grad if self._keeps_grad else None
        self._hooks = [getattr(tensor, name) for name in _HOOKS]

    def is_overwritten(self) -> bool:
        """Return whether it has been written to since it was put back, as far as its version counter tells."""
        return version_of(self.tensor) != self.version

    def restore(self) -> None:
        """Put everything back but the values in its storage."""
        tensor, alias = self.tensor, self.alias
        # A write may have given a sparse one other indices and values; the alias has still the old ones.
        sparse = alias.layout != torch.strided and not alias.is_nested
        if sparse or key_of(tensor) != self.key or _extent(tensor) != self._extent:
            tensor.data = alias
        if self._is_leaf and not tensor._is_view() and not tensor.is_leaf:
            # Something that requires grad was added to a buffer: it has a grad_fn now.
            tensor.detach_()
        if self._is_leaf and has_no_graph(tensor) and tensor.requires_grad != self._graph[0]:
            tensor.requires_grad_(self._graph[0])
        if self._keeps_grad and tensor.grad is not self._grad:
            tensor.grad = self._grad
        for name, hooks in zip(_HOOKS, self._hooks, strict=True):
            now = getattr(tensor, name)
            if now is not hooks:
                if now is not None:
                    now.clear()  # a node of the graph may hold the new dict, too
                setattr(tensor, name, hooks)

    def unrestored(self) -> str | None:
        """Return what could not be put back of it; None if all was."""
        if self.is_lost:
            return "it was written to, and its values cannot be copied"
        return "its requires_grad or grad_fn is another now" if _graph_of(self.tensor) != self._graph else None


def has_no_graph(tensor: Tensor) -> bool:
    """Return whether a tensor has no `grad_fn`, a view too, without changing that."""
    # To ask a view itself would make its grad_fn anew where its base was written to.
    base: Any = tensor._base if tensor._is_view() else None
    return bool(tensor.is_leaf) if base is None else not base.requires_grad


def _graph_of(tensor: Tensor) -> tuple[bool, bool, Any]:
    is_leaf = has_no_graph(tensor)
    return tensor.requires_grad, is_leaf, None if is_leaf or tensor._is_view() else grad_fn_of(tensor)


def _extent(tensor: Tensor) -> tuple[object, ...]:
    """Return what `resize_`, `out=` of another shape, or `.data` changes."""
    if is_strided(tensor):
        return (tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype)
    return (shape_of(tensor), tensor.dtype)


def _is_as_it_was(storage: Any, now: Tensor, before: Tensor) -> bool:
    # A device would have to be waited for.
    return storage.device.type == "cpu" and storage.nbytes() == before.numel() and torch.equal(now, before)


def _restore_versions(states: Iterable[RecordedTensor]) -> None:
    """Give tensors whose values are as before their versions, or a graph that has saved one refuses a backward."""
    changed = [(state.tensor, state.version) for state in states if state.version >= 0]
    if changed:
        torch._C._autograd._unsafe_set_version_counter(*map(tuple, zip(*changed, strict=True)))
