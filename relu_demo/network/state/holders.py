"""The holders of a network's state, recorded and put back: containers, plain objects, modules, random generators."""

from __future__ import annotations

import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from operator import is_
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.network.state.contents import ENDS, Parts, contents, holds_no_tensor, slots, slots_of, walk

_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)
_PLAIN = {bool, int, float, str, type(None)}
_CONTAINERS = (OrderedDict, dict, list, set, deque)
_ALIVE = (
    *("_thread.", "asyncio.", "concurrent.", "logging.", "multiprocessing.", "queue.", "socket.", "threading."),
    *("weakref.", "_weakref.", "torch._dynamo.", "torch._inductor."),
)
"""Parts of Python and PyTorch whose objects change on their own, in threads or with what has been compiled."""


def attribute_tensors(network: nn.Module) -> dict[str, Tensor]:
    """
    Return the tensors in plain attributes of the network's modules, by name: what a forward may leave for later.

    A module in such an attribute (a plain list of them, which PyTorch does not look into) counts as one of the
    network's, its buffers as such tensors.
    """
    found = {}
    modules = [*network.named_modules()]
    known = {id(module) for _, module in modules}
    for path, module in modules:
        for name, value in _plain_attributes(path, module):
            i = 0
            for place, end, _ in walk(value, name, parts=_with_tensors):
                if isinstance(end, Tensor):
                    found[f"{name}[{i}]" if i else name] = end
                    i += 1
                elif isinstance(end, nn.Module) and id(end) not in known:
                    modules += (more := [*end.named_modules(prefix=place)])
                    known |= {id(hidden) for _, hidden in more}
                    found.update(end.named_buffers(prefix=place))
    return found


def _with_tensors(value: Any) -> Parts | None:
    return None if holds_no_tensor(value) else contents(value)


def _plain_attributes(path: str, module: nn.Module) -> Iterator[tuple[str, Any]]:
    for attribute, value in module.__dict__.items():
        if attribute not in _OF_EVERY_MODULE and not _is_plain(value):
            yield f"{path}.{attribute}".lstrip("."), value


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN or (type(value) is tuple and all(type(item) in _PLAIN for item in value))


class Holders:
    """
    What each holder in a network and in its arguments holds, as it was when this was made. `restore()` puts it back.

    Recorded: the items of built-in containers, the attributes of modules and of plain objects, the states of random
    generators. The walk ends at tensors and at objects that change on their own (a thread).
    """

    def __init__(self, network: nn.Module, arguments: Any) -> None:
        self.modules: list[nn.Module] = []
        """All modules, those in plain lists and objects too, and those in the arguments."""
        self.random: list[tuple[Callable[[Any], Any], Any]] = []
        """For each random generator: the function that sets its state, and the state."""
        self.own: dict[int, Any] = {}
        """The holders in the network by id, without those that are in the arguments alone."""
        self._empty: list[Any] = []
        self._full: list[tuple[Any, list[Any]]] = []
        self._slots: list[tuple[Any, dict[str, Any]]] = []
        self._followed: dict[type, bool] = {}
        for root, entered in ((network, self.own), (arguments, self.own.copy())):
            for _ in walk(root, parts=partial(self._record, entered), entered=entered):
                pass

    def _record(self, entered: dict[int, Any], value: Any) -> Parts | None:
        """Record what a holder holds, and return it for the walk to go on with; None for what is no holder."""
        if not self._is_followed(kind := type(value)):
            return None
        # Nobody asks for paths here.
        if kind in _CONTAINERS:
            items = self._record_items(value)
            return [] if holds_no_tensor(value) else [("", item) for item in items if self._is_followed(type(item))]
        if isinstance(value, nn.Module):
            self.modules.append(value)
            return self._record_module(value.__dict__, entered)
        if isinstance(value, _CONTAINERS):
            self._record_items(value)
        if not isinstance(value, MethodType):  # its attributes are those of its function
            self._record_object(value)
        return contents(value) or []

    def _record_module(self, attributes: dict[str, Any], entered: dict[int, Any]) -> Parts:
        parts = []
        for item in self._record_items(attributes)[1::2]:
            # A module has a dozen containers for hooks, nearly always empty: in a large network they are most of all.
            if type(item) in _CONTAINERS and not item:
                entered[id(item)] = item
                self._empty.append(item)
            elif not _is_plain(item):
                parts.append(("", item))
        return parts

    def _record_items(self, container: Any) -> list[Any]:
        items = _items(container)
        if items:
            self._full.append((container, items))
        else:
            self._empty.append(container)
        return items

    def _record_object(self, value: Any) -> None:
        state = _random_state(value)
        if state is not None:
            self.random.append(state)
            return
        if slots(type(value)):
            self._slots.append((value, slots_of(value)))
        own = getattr(value, "__dict__", None)
        if isinstance(own, dict):
            self._record_items(own)

    def _is_followed(self, kind: type) -> bool:
        if kind not in self._followed:
            self._followed[kind] = _is_followed(kind)
        return self._followed[kind]

    def restore(self) -> None:
        """Put into each holder what was in it."""
        for container in self._empty:
            if container:
                _base(container).clear(container)
        for container, items in self._full:
            now = _items(container)
            if len(now) != len(items) or not all(map(is_, now, items)):
                _refill(container, items)
        for value, before in self._slots:
            after = slots_of(value)
            for name in after.keys() - before.keys():
                object.__delattr__(value, name)
            for name, item in before.items():
                if name not in after or after[name] is not item:
                    object.__setattr__(value, name, item)


def _is_followed(kind: type) -> bool:
    if issubclass(kind, (*_CONTAINERS, nn.Module, torch.Generator)):
        return True
    return not issubclass(kind, ENDS) and not any(f"{k.__module__}.".startswith(_ALIVE) for k in kind.__mro__)


def _base(container: Any) -> Any:
    # A class derived from it may refuse to be cleared.
    kind = type(container)
    return kind if kind in _CONTAINERS else next(kind for kind in _CONTAINERS if isinstance(container, kind))


def _items(container: Any) -> list[Any]:
    """Return what is in a container: of a mapping, keys and values in turn."""
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


def _random_state(value: Any) -> tuple[Callable[[Any], Any], Any] | None:
    """Return a function that sets a random generator's state, and its state now; None for any other object."""
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
