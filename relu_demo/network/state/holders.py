"""The holders of a network's state, recorded and put back: containers, plain objects, modules, classes."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import suppress
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.network.state.attributes import is_plain, is_plain_object
from relu_demo.network.state.classes import (
    data_of,
    functions_of,
    is_recorded,
    restore_class,
    restore_kinds,
    restore_slots,
)
from relu_demo.network.state.contents import ENDS, contents, slots, slots_of
from relu_demo.network.state.functions import Cells, cells_of, held_by, restore_cells
from relu_demo.network.state.items import (
    CONTAINERS,
    PLAIN,
    Looked,
    Pair,
    changed,
    clear,
    has_items,
    holds_no_tensor,
    items_of,
    refill,
    values_of,
)
from relu_demo.network.state.moving import LENT, PutBack, copy_of, is_random, mark, putting_back
from relu_demo.sanitizer.frames import is_users

_ALIVE = (
    *("_thread.", "asyncio.", "concurrent.", "logging.", "multiprocessing.", "socket.", "threading."),
    *("weakref.", "_weakref.", "torch._dynamo.", "torch._inductor."),
)
"""Parts of Python and PyTorch whose objects change on their own, in threads or with what has been compiled."""


class Holders:
    """
    What each holder in a network and in its arguments holds, as it was when this was made. `restore()` puts it back.

    Recorded: the items of built-in containers, the attributes of modules, of plain objects and of the user's classes,
    and the states of what moves on (a random generator, an array, an iterator over a list). The walk ends at tensors
    and at objects that change on their own (a thread).
    """

    def __init__(self, network: nn.Module, arguments: Any, looked: Looked) -> None:
        self.modules: list[nn.Module] = []
        """All modules, those in plain lists and objects too, and those in the arguments."""
        self.beside: list[nn.Module] = []
        """Modules that only functions hold."""
        self.random: list[PutBack] = []
        """What puts each random generator back."""
        self.class_tensors: list[Tensor] = []
        """The tensors that are attributes of the user's classes."""
        self.own: dict[int, Any] = {}
        """The holders in the network by id, without those that are in the arguments alone."""
        self._network = network
        self._looked = looked
        self._empty: list[Any] = []
        self._full: list[Pair] = []
        self._of_subclasses: list[Pair] = []
        self._cells: Cells = []
        self._methods: list[FunctionType] = []
        self._plain: list[Any] = []
        self._slots: list[tuple[Any, dict[str, Any]]] = []
        self._moving: list[PutBack] = []
        self._marks: list[tuple[Any, object]] = []
        self._broken: list[tuple[Any, Exception]] = []
        self._lent: list[tuple[dict[str, Any], str, Any]] = []
        self._kinds: defaultdict[type, list[Any]] = defaultdict(list)
        """Modules and objects, by their class."""
        self._classes: dict[type, dict[str, Any] | None] = {}
        """The attributes of each class; None of one that is not recorded."""
        self._followed: dict[type, bool] = {}
        for root, entered in ((network, self.own), (arguments, self.own.copy())):
            self._in_function = False
            self._functions: list[FunctionType] = []
            self._follow([root], entered)
            self._in_function = True
            self._follow_functions(entered)

    def follow(self, values: list[Any]) -> None:
        """Record what can be reached from these values of the network's, too."""
        self._follow(values, self.own)
        self._follow_functions(self.own)

    def _follow(self, values: list[Any], entered: dict[int, Any]) -> None:
        waiting = values[::-1]
        while waiting:
            value = waiting.pop()
            if id(value) not in entered:
                inside = self._record(entered, value)
                if inside is not None:
                    entered[id(value)] = value
                    waiting += inside[::-1]

    def _follow_functions(self, entered: dict[int, Any]) -> None:
        """
        Record what functions hold, and the methods of classes.

        A module that only these hold is no part of the network: its state is recorded, and it counts nowhere else.
        """
        while self._functions or self._methods:
            with_globals = bool(self._functions)
            function = (self._functions or self._methods).pop()
            if id(function) in entered:
                continue
            entered[id(function)] = function
            if is_users(function.__code__.co_filename):
                self._cells += cells_of(function)
                self._record_items(function.__dict__)
            self._follow(held_by(function, with_globals), entered)

    def _record(self, entered: dict[int, Any], value: Any) -> list[Any] | None:
        """Record what a holder holds, and return it for the walk to go on with; None for what is no holder."""
        kind = type(value)
        if kind is FunctionType:
            self._functions.append(value)
            return None
        if not self._is_followed(kind):
            return None
        try:
            return self._recorded(entered, value, kind)
        except Exception as error:
            self._broken.append((value, error))
            return None

    def _recorded(self, entered: dict[int, Any], value: Any, kind: type) -> list[Any]:
        if is_plain_object(kind):
            if kind not in self._classes:
                self._record_classes(kind)
            self._kinds[kind].append(value)
            self._record_items(own := value.__dict__)
            return [item for item in own.values() if type(item) not in PLAIN]
        if kind in CONTAINERS:
            if self._looked.remembers(value):
                self._plain.append(value)
                return []
            items = self._record_items(value)
            if holds_no_tensor(value):
                return []
            return [item for item in values_of(items) if self._is_followed(type(item))]
        if isinstance(value, nn.Module):
            (self.beside if self._in_function else self.modules).append(value)
            self._kinds[kind].append(value)
            self._record_classes(kind)
            return self._record_module(value.__dict__, entered)
        if isinstance(value, CONTAINERS):
            self._record_items(value)
        if not isinstance(value, MethodType):  # its attributes are those of its function
            self._record_object(value)
        return [item for _, item in contents(value) or []]

    def _record_module(self, attributes: dict[str, Any], entered: dict[int, Any]) -> list[Any]:
        parts = []
        self._record_items(attributes)
        self._lent += [(attributes, name, item) for name, item in attributes.items() if type(item) in LENT]
        for item in attributes.values():
            # A module has a dozen containers for hooks, nearly always empty: in a large network they are most of all.
            if type(item) in CONTAINERS and not item:
                entered[id(item)] = item
                self._empty.append(item)
            elif not is_plain(item):
                parts.append(item)
        return parts

    def _record_items(self, container: Any) -> dict[Any, Any] | list[Any]:
        items = items_of(container)
        if items:
            (self._full if type(container) in CONTAINERS else self._of_subclasses).append((container, items))
        else:
            self._empty.append(container)
        return items

    def _record_object(self, value: Any) -> None:
        put_back = putting_back(value)
        if put_back is not None:
            (self.random if is_random(value) else self._moving).append(put_back)
        if (now := mark(value)) is not None:
            self._marks.append((value, now))
        if put_back is None:
            self._record_classes(type(value))
        if slots(type(value)):
            self._slots.append((value, slots_of(value)))
        own = getattr(value, "__dict__", None)
        if isinstance(own, dict):
            self._kinds[type(value)].append(value)
            self._record_items(own)

    def _record_classes(self, kind: type) -> None:
        """Record the attributes of a class and of those it is derived from, where the user wrote them."""
        for each in kind.__mro__:
            if each in self._classes:
                continue
            self._classes[each] = data_of(each) if is_recorded(each) else None
            self._methods += functions_of(each) if self._classes[each] else []
            for item in (self._classes[each] or {}).values():
                if type(item) in CONTAINERS:
                    self._record_items(item)
                elif isinstance(item, Tensor):
                    self.class_tensors.append(item)

    def _is_followed(self, kind: type) -> bool:
        if kind not in self._followed:
            self._followed[kind] = _is_followed(kind)
        return self._followed[kind]

    def lend(self) -> None:
        """Have the next pass use up copies of counters, whose state cannot be put back, until `restore`."""
        for attributes, name, item in self._lent:
            attributes[name] = copy_of(item)

    def give_back(self) -> None:
        """Put the counters themselves back."""
        for attributes, name, item in self._lent:
            attributes[name] = item

    def restore(self) -> None:
        """Put into each holder what was in it."""
        restore_kinds(self._kinds)  # first, for the class says what the attributes are
        self._restore_items()
        restore_cells(self._cells)
        for container in self._plain:
            self._looked.restore(container)
        for value, before in self._slots:
            restore_slots(value, before)
        for kind, data in self._classes.items():
            if data is not None:
                restore_class(kind, data)
        for put_back in self._moving:
            with suppress(Exception):  # closed since, or a list that has become shorter
                put_back()

    def _restore_items(self) -> None:
        for container in self._empty if any(self._empty) else ():
            if container:
                clear(container)
        for container, items in changed(self._full):
            refill(container, items)
        for container, items in self._of_subclasses:
            if not has_items(container, items):
                refill(container, items)

    def unrestored(self) -> list[tuple[str, str, str]]:
        """Return what could not be put back: of each object its name in the network, its class, and why."""
        found = [
            (value, "has moved on, and cannot be put back") for value, before in self._marks if mark(value) != before
        ]
        found += [(value, f"raised {type(error).__name__} when it was looked at") for value, error in self._broken]
        return [(self._name_of(value), type(value).__name__, why) for value, why in found]

    def _name_of(self, value: Any) -> str:
        for path, module in self._network.named_modules():
            for name, item in module.__dict__.items():
                if item is value:
                    return f"{path}.{name}".lstrip(".")
        return ""


def _is_followed(kind: type) -> bool:
    if issubclass(kind, (*CONTAINERS, nn.Module, torch.Generator, FunctionType, threading.local)):
        return True
    return not issubclass(kind, ENDS) and not any(f"{k.__module__}.".startswith(_ALIVE) for k in kind.__mro__)
