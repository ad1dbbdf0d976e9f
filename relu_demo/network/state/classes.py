"""The classes of a network's modules and objects: which are recorded, what they hold, and how it is put back."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import FunctionType
from typing import Any

from relu_demo.network.state.contents import slots_of
from relu_demo.sanitizer.frames import is_users


def is_recorded(kind: type) -> bool:
    """Return whether a class can change with the network: one of the user's, or made while the program ran."""
    return _is_users_class(kind) or _is_made_for_one(kind)


def data_of(kind: type) -> dict[str, Any]:
    """Return the attributes of a class, without those that are Python's own."""
    return {name: item for name, item in vars(kind).items() if not (name.startswith("__") or name == "_abc_impl")}


def functions_of(kind: type) -> Iterator[FunctionType]:
    """Yield the functions that a class has as methods, of whatever sort."""
    for item in vars(kind).values():
        for function in (item, getattr(item, "__func__", None), getattr(item, "fget", None)):
            if isinstance(function, FunctionType):
                yield function


def restore_kinds(kinds: Mapping[type, list[Any]]) -> None:
    """Give each module or object the class that it had."""
    for kind, values in kinds.items():
        if {*map(type, values)} != {kind}:
            for value in values:
                with suppress(TypeError):  # a class may refuse
                    object.__setattr__(value, "__class__", kind)


def restore_class(kind: type, data: dict[str, Any]) -> None:
    """Put back the attributes of a class."""
    now = data_of(kind)
    for name in now.keys() - data.keys():
        with suppress(Exception):  # a class may refuse
            delattr(kind, name)
    for name, item in data.items():
        if name not in now or now[name] is not item:
            with suppress(Exception):
                setattr(kind, name, item)


def restore_slots(value: Any, before: dict[str, Any]) -> None:
    """Put back the attributes that an object has in `__slots__`."""
    after = slots_of(value)
    for name in after.keys() - before.keys():
        object.__delattr__(value, name)
    for name, item in before.items():
        if name not in after or after[name] is not item:
            object.__setattr__(value, name, item)


def _is_users_class(kind: type) -> bool:
    """Whether a class is not PyTorch's and not Python's. One made in a notebook has no file."""
    module = sys.modules.get(kind.__module__)
    if kind.__module__ == "builtins" or kind.__module__.split(".")[0] == "torch":
        return False
    file = getattr(module, "__file__", None)
    return is_users(file) if file else kind.__module__ == "__main__"


def _is_made_for_one(kind: type) -> bool:
    """Whether a class was made while the program ran, as PyTorch makes one for each parametrized module."""
    made_in, outermost = sys.modules.get(kind.__module__), kind.__qualname__.split(".")[0]
    return made_in is not None and "<" not in kind.__qualname__ and not hasattr(made_in, outermost)
