"""What a network and its arguments hold, however deep: containers, plain objects, modules, random generators."""

from __future__ import annotations

import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import chain
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.network.state.contents import ENDS, FIXED, contents, ends, in_slots, slots

_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)
_PLAIN = {bool, int, float, str, type(None)}
_BUILT_IN = (OrderedDict, dict, list, set, deque)
_ALIVE = (
    *("_thread.", "asyncio.", "concurrent.", "logging.", "multiprocessing.", "queue.", "socket.", "threading."),
    *("weakref.", "_weakref.", "torch._dynamo.", "torch._inductor."),
)
"""Parts of Python and PyTorch whose objects change on their own, in threads or with what has been compiled."""


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


class Holders:
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
        """Put into each what was in it."""
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
