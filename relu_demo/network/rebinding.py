"""Which writes in place have a result that the user's line uses, and how that line writes them out of place."""

from __future__ import annotations

import ast
from functools import lru_cache
from types import CodeType
from typing import Any

from torch import Tensor

from relu_demo.sanitizer.frames import calling_frame
from relu_demo.sanitizer.source import AUGMENTED, MEANT, SIGNS, called, expression_at, statement_at, text_of

_SHAPED = {"t_", "squeeze_", "unsqueeze_", "transpose_", "swapaxes_", "swapdims_", "as_strided_", "rename_"}
_NEVER = MEANT | _SHAPED | {"__get__", "__set__"}
"""Nobody uses the old values after these, or they write no values. The last two are attributes: `x.shape`, `x.data`."""


def rebinds(function: Any, args: tuple[Any, ...]) -> str | None:
    """
    Return how the running line says the same out of place, if the function writes in place and its result is used.

    None for every other function; for a statement that is nothing but the write (`x.mul_(2)`, `x[i] += y`), which is
    meant to change the tensor; and where the line is not the user's, or cannot be read.
    """
    name = str(getattr(function, "__name__", ""))
    if not name.endswith("_") or name in _NEVER or not args or not isinstance(args[0], Tensor):
        return None
    frame = calling_frame()
    return None if frame is None else _said(name, frame.f_code, frame.f_code.co_filename, frame.f_lineno, frame.f_lasti)


@lru_cache(maxsize=4096)
def _said(name: str, code: CodeType, file: str, line: int, instruction: int) -> str | None:
    # Python holds code of two files for equal, so that the file has to be named too.
    node = expression_at(code, instruction)
    statement = statement_at(file, line, node)
    return None if statement is None else _cure(name, statement, node)


def _cure(name: str, statement: ast.stmt, node: ast.AST | None) -> str | None:
    if isinstance(statement, ast.AugAssign) and node in (None, statement):
        # PyTorch calls `x += y` by the name of the method, add_.
        named = name.strip("_") in AUGMENTED.get(type(statement.op), ())
        if not named or not isinstance(statement.target, (ast.Name, ast.Attribute)):
            return None
        x, y = text_of(statement.target), text_of(statement.value)
        y = f"({y})" if isinstance(statement.value, (ast.BinOp, ast.IfExp, ast.Compare)) else y
        return f"{x} = {x} {SIGNS[type(statement.op)]} {y}"
    if not isinstance(node, ast.Call) or called(node) != name:
        # Where nobody can tell which call of the line it is: the first of that name.
        node = next((n for n in ast.walk(statement) if isinstance(n, ast.Call) and called(n) == name), None)
    if node is None or name.startswith("_") or (isinstance(statement, ast.Expr) and node in _chain(statement.value)):
        return None
    return text_of(node).replace(f"{name}(", f"{name[:-1]}(")


def _chain(expression: ast.expr) -> list[ast.AST]:
    """Return a call and those that its method is called on: both of `x.mul_(2).add_(1)`."""
    found: list[ast.AST] = []
    part: ast.AST = expression
    while isinstance(part, ast.Call):
        found.append(part)
        part = part.func.value if isinstance(part.func, ast.Attribute) else part.func
    return found
