"""The forward hooks of a module: which of them runs a piece of code, and on which line one keeps what it was given."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any

from torch import nn

from relu_demo.sanitizer.source import is_what_runs, statement_at


def hook_named(module: nn.Module, code: CodeType) -> str | None:
    """Return the name of the module's forward hook that is this code; None if none is."""
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    return next((name_of(hook) for hook in hooks if code_of(hook) is code), None)


def code_of(hook: Any) -> CodeType | None:
    """Return the code of a hook: of a function, a method, a partial of one, or an object with `__call__`."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    hook = inspect.unwrap(hook)
    found = getattr(hook, "__code__", None) or getattr(getattr(type(hook), "__call__", None), "__code__", None)  # noqa: B004 - its code is wanted
    return found if isinstance(found, CodeType) else None


def name_of(hook: Any) -> str:
    """Return the name of a hook, as its definition has it; that of its class if it is an object."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    return str(getattr(hook, "__name__", type(hook).__name__))


def keeping_line(code: CodeType) -> int | None:
    """Return the line of a hook that puts its output somewhere: `KEPT[...] = output`, `kept.append(output)`."""
    output = code.co_varnames[code.co_argcount - 1] if code.co_argcount else ""
    for part in _parts(code):
        if isinstance(part, (ast.Assign, ast.Expr)) and not isinstance(getattr(part, "value", None), ast.Constant):
            to_name = isinstance(part, ast.Assign) and all(isinstance(target, ast.Name) for target in part.targets)
            if not to_name and any(isinstance(n, ast.Name) and n.id == output for n in ast.walk(part.value)):
                return part.lineno
    return None


def _parts(code: CodeType) -> Iterator[ast.AST]:
    is_what_runs(code)
    definition = statement_at(code.co_filename, code.co_firstlineno)
    return iter(()) if definition is None else ast.walk(definition)
