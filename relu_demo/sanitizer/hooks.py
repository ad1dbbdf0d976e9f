"""The forward hooks of a module: the name and the code of each, and which of them runs."""

from __future__ import annotations

import functools
import inspect
from types import CodeType
from typing import Any

from torch import nn


def hook_named(module: nn.Module, code: CodeType) -> str | None:
    """Return the name of the module's forward hook that is this code; None if none is."""
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    return next((hook_name(hook) for hook in hooks if code_of(hook) is code), None)


def code_of(hook: Any) -> CodeType | None:
    """Return the code of a hook: of a function, a method, a partial of one, or an object with `__call__`."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    hook = inspect.unwrap(hook)
    found = getattr(hook, "__code__", None) or getattr(getattr(type(hook), "__call__", None), "__code__", None)  # noqa: B004 - its code is wanted
    return found if isinstance(found, CodeType) else None


def hook_name(hook: Any) -> str:
    """Return the name of a hook, as its definition has it; that of its class if it is an object."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    return str(getattr(hook, "__name__", type(hook).__name__))
