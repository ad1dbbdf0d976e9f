"""A function as a network: the modules and tensors that it uses are the attributes of a module."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

_HOLDERS = (nn.Module, Tensor, list, dict, set)


def is_function(value: Any) -> bool:
    """Return whether a value is a function, a method or a partial one of them: no class, and no object with a call."""
    inner = value.func if isinstance(value, functools.partial) else value
    return inspect.isroutine(inner)


def is_async(value: Any) -> bool:
    """Return whether a call of a value gives something to await."""
    return inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value)


def of_function(network: nn.Module) -> bool:
    """Return whether a network is what `as_network` made of a function."""
    return isinstance(network, _Function)


class _Function(nn.Module):
    """What networks that are functions have in common."""


def as_network(function: Callable[..., Any]) -> nn.Module:
    """
    Return a module whose forward is the function, and whose class has its name.

    The modules, tensors and built-in containers that it uses (globals, variables of an outer function, the object of a
    method) are its attributes by their names: their state is put back after each run, as that of a network is.
    """
    inner = function.func if isinstance(function, functools.partial) else function
    name = getattr(inner, "__name__", "function")
    network: nn.Module = type(name, (_Function,), {"forward": staticmethod(function)})()
    for reached, value in _reached(inner).items():
        if isinstance(value, _HOLDERS) and not hasattr(network, reached):
            setattr(network, reached, value)
    if isinstance(function, functools.partial):
        vars(network)["given"] = (function.args, function.keywords)
    return network


def _reached(function: Callable[..., Any]) -> dict[str, Any]:
    method = getattr(function, "__self__", None)
    found = {} if method is None or inspect.ismodule(method) else {"self": method}
    try:
        variables = inspect.getclosurevars(function)
    except (TypeError, ValueError):  # not Python's
        return found
    return {**variables.globals, **variables.nonlocals, **found}
