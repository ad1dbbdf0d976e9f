"""The holders of a network's state, recorded and put back: containers, plain objects, modules, classes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.network.state.contents import ENDS, Parts, contents, slots, slots_of, walk
from relu_demo.network.state.items import (
    CONTAINERS,
    Looked,
    clear,
    has_items,
    holds_no_tensor,
    items_of,
    refill,
    values_of,
)
from relu_demo.network.state.moving import LENT, PutBack, copy_of, is_random, mark, putting_back
from relu_demo.sanitizer.frames import is_users

_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)
_PLAIN = {bool, int, float, str, type(None)}
_ALIVE = (
    *("_thread.", "asyncio.", "concurrent.", "logging.", "multiprocessing.", "queue.", "socket.", "threading."),
    *("weakref.", "_weakref.", "torch._dynamo.", "torch._inductor."),
)
"""Parts of Python and PyTorch whose objects change on their own, in threads or with what has been compiled."""


def attribute_tensors(network: nn.Module, looked: Looked | None = None) -> dict[str, Tensor]:
    """
    Return the tensors in plain attributes of the network's modules, by name: what a forward may leave for later.

    A module in such an attribute (a plain list of them, which PyTorch does not look into) counts as one of the
    network's, its buffers as such tensors. `looked`: knows where none are.
    """
    found = {}
    plain = holds_no_tensor if looked is None else looked.holds_no_tensor
    modules = [*network.named_modules()]
    known = {id(module) for _, module in modules}
    for path, module in modules:
        for name, value in _plain_attributes(path, module):
            i = 0
            for place, end, _ in walk(value, name, parts=lambda value: None if plain(value) else contents(value)):
                if isinstance(end, Tensor):
                    found[f"{name}[{i}]" if i else name] = end
                    i += 1
                elif isinstance(end, nn.Module) and id(end) not in known:
                    modules += (more := [*end.named_modules(prefix=place)])
                    known |= {id(hidden) for _, hidden in more}
                    found.update(end.named_buffers(prefix=place))
    return found


def _plain_attributes(path: str, module: nn.Module) -> Iterator[tuple[str, Any]]:
    for attribute, value in module.__dict__.items():
        if attribute not in _OF_EVERY_MODULE and not _is_plain(value):
            yield f"{path}.{attribute}".lstrip("."), value


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN or (type(value) is tuple and all(type(item) in _PLAIN for item in value))


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
        self.random: list[PutBack] = []
        """What puts each random generator back."""
        self.class_tensors: list[Tensor] = []
        """The tensors that are attributes of the user's classes."""
        self.own: dict[int, Any] = {}
        """The holders in the network by id, without those that are in the arguments alone."""
        self._network = network
        self._looked = looked
        self._empty: list[Any] = []
        self._full: list[tuple[Any, dict[Any, Any] | list[Any]]] = []
        self._plain: list[Any] = []
        self._slots: list[tuple[Any, dict[str, Any]]] = []
        self._moving: list[PutBack] = []
        self._marks: list[tuple[Any, object]] = []
        self._broken: list[tuple[Any, Exception]] = []
        self._lent: list[tuple[dict[str, Any], str, Any]] = []
        self._kinds: list[tuple[Any, type]] = []
        self._classes: dict[type, dict[str, Any] | None] = {}
        """The attributes of each class; None of one that is not recorded."""
        self._followed: dict[type, bool] = {}
        for root, entered in ((network, self.own), (arguments, self.own.copy())):
            for _ in walk(root, parts=partial(self._record, entered), entered=entered):
                pass

    def _record(self, entered: dict[int, Any], value: Any) -> Parts | None:
        """Record what a holder holds, and return it for the walk to go on with; None for what is no holder."""
        if not self._is_followed(kind := type(value)):
            return None
        try:
            return self._recorded(entered, value, kind)
        except Exception as error:
            self._broken.append((value, error))
            return None

    def _recorded(self, entered: dict[int, Any], value: Any, kind: type) -> Parts:
        # Nobody asks for paths here.
        if kind in CONTAINERS:
            if self._looked.remembers(value):
                self._plain.append(value)
                return []
            items = self._record_items(value)
            if holds_no_tensor(value):
                return []
            return [("", item) for item in values_of(items) if self._is_followed(type(item))]
        if isinstance(value, nn.Module):
            self.modules.append(value)
            self._kinds.append((value, kind))
            self._record_classes(kind)
            return self._record_module(value.__dict__, entered)
        if isinstance(value, CONTAINERS):
            self._record_items(value)
        if not isinstance(value, MethodType):  # its attributes are those of its function
            self._record_object(value)
        return contents(value) or []

    def _record_module(self, attributes: dict[str, Any], entered: dict[int, Any]) -> Parts:
        parts = []
        self._record_items(attributes)
        self._lent += [(attributes, name, item) for name, item in attributes.items() if type(item) in LENT]
        for item in attributes.values():
            # A module has a dozen containers for hooks, nearly always empty: in a large network they are most of all.
            if type(item) in CONTAINERS and not item:
                entered[id(item)] = item
                self._empty.append(item)
            elif not _is_plain(item):
                parts.append(("", item))
        return parts

    def _record_items(self, container: Any) -> dict[Any, Any] | list[Any]:
        items = items_of(container)
        if items:
            self._full.append((container, items))
        else:
            self._empty.append(container)
        return items

    def _record_object(self, value: Any) -> None:
        put_back = putting_back(value)
        if put_back is not None:
            (self.random if is_random(value) else self._moving).append(put_back)
        if (now := mark(value)) is not None:
            self._marks.append((value, now))
        if put_back is not None:
            return
        self._record_classes(type(value))
        if slots(type(value)):
            self._slots.append((value, slots_of(value)))
        own = getattr(value, "__dict__", None)
        if isinstance(own, dict):
            self._kinds.append((value, type(value)))
            self._record_items(own)

    def _record_classes(self, kind: type) -> None:
        """Record the attributes of a class and of those it is derived from, where the user wrote them."""
        for each in kind.__mro__:
            if each in self._classes:
                continue
            self._classes[each] = _data_of(each) if _is_users_class(each) or _is_made_for_one(each) else None
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
        _restore_kinds(self._kinds)  # first, for the class says what the attributes are
        for container in self._empty:
            if container:
                clear(container)
        for container, items in self._full:
            if not has_items(container, items):
                refill(container, items)
        for container in self._plain:
            self._looked.restore(container)
        for value, before in self._slots:
            _restore_slots(value, before)
        for kind, data in self._classes.items():
            if data is not None:
                _restore_class(kind, data)
        for put_back in self._moving:
            with suppress(Exception):  # closed since, or a list that has become shorter
                put_back()

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


def _is_users_class(kind: type) -> bool:
    """Whether a class is not PyTorch's and not Python's. One made in a notebook has no file."""
    module = sys.modules.get(kind.__module__)
    if kind.__module__ == "builtins" or kind.__module__.split(".")[0] == "torch":
        return False
    file = getattr(module, "__file__", None)
    return is_users(file) if file else kind.__module__ == "__main__"


def _restore_kinds(kinds: list[tuple[Any, type]]) -> None:
    for value, kind in kinds:
        if type(value) is not kind:
            with suppress(TypeError):  # a class may refuse
                object.__setattr__(value, "__class__", kind)


def _is_made_for_one(kind: type) -> bool:
    """Whether a class was made while the program ran, as PyTorch makes one for each parametrized module."""
    made_in = sys.modules.get(kind.__module__)
    return (
        made_in is not None and "<" not in kind.__qualname__ and not hasattr(made_in, kind.__qualname__.split(".")[0])
    )


def _data_of(kind: type) -> dict[str, Any]:
    """Return the attributes of a class, without those that are Python's own."""
    return {name: item for name, item in vars(kind).items() if not (name.startswith("__") or name == "_abc_impl")}


def _restore_slots(value: Any, before: dict[str, Any]) -> None:
    after = slots_of(value)
    for name in after.keys() - before.keys():
        object.__delattr__(value, name)
    for name, item in before.items():
        if name not in after or after[name] is not item:
            object.__setattr__(value, name, item)


def _restore_class(kind: type, data: dict[str, Any]) -> None:
    now = _data_of(kind)
    for name in now.keys() - data.keys():
        with suppress(Exception):  # a class may refuse
            delattr(kind, name)
    for name, item in data.items():
        if name not in now or now[name] is not item:
            with suppress(Exception):
                setattr(kind, name, item)


def _is_followed(kind: type) -> bool:
    if issubclass(kind, (*CONTAINERS, nn.Module, torch.Generator)):
        return True
    return not issubclass(kind, ENDS) and not any(f"{k.__module__}.".startswith(_ALIVE) for k in kind.__mro__)
