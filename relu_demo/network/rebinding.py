"""Which writes in place have a result that the user's line uses, and how that line writes them out of place."""

from __future__ import annotations

import ast
import dis
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

from torch import Tensor

from relu_demo.sanitizer.frames import calling_frame
from relu_demo.sanitizer.source import (
    MEANT,
    assigned_anew,
    called,
    expression_at,
    imported,
    is_out_of_place,
    is_sign_of,
    out_of_place,
    parsed,
    root,
    statement_at,
    text_of,
    value_of,
)

_NO_VALUES = {
    "t_", "squeeze_", "unsqueeze_", "transpose_", "swapaxes_", "swapdims_", "as_strided_", "rename_", "set_", "resize_",
    "resize_as_", "requires_grad_", "detach_", "share_memory_",
}  # fmt: skip
"""These change a shape, a graph or a storage."""
_NEVER = _NO_VALUES | {"__get__", "__set__", "__setitem__"}
"""The first two are attributes, `x.shape` and `x.data`; the last is a statement, `x[i] = y`."""
_INITIAL = "torch.nn.init"


def rebinds(function: Any, written: Any) -> str | None:
    """
    Return how the running line says the same out of place, if the function writes in place and its result is used.

    `written` is the tensor. None for every other function; for a statement that is nothing but the write
    (`x.mul_(2)`, `x[i] += y` of a tensor), which is meant to change the tensor; and where the line is not the user's.
    """
    name = str(getattr(function, "__name__", "")).partition(".")[0]
    if not name.endswith("_") or name in _NEVER or not isinstance(written, Tensor):
        return None
    frame = calling_frame()
    if frame is None or getattr(function, "__module__", "") == _INITIAL:
        return None
    return _said(name, frame.f_code, frame.f_code.co_filename, frame.f_lineno, frame.f_lasti) or _of_item(name, frame)


@lru_cache(maxsize=4096)
def _said(name: str, code: CodeType, file: str, line: int, instruction: int) -> str | None:
    # Python holds code of two files for equal, so that the file has to be named too.
    if parsed(file) is None:
        new = f"{name[:-1]}() in place of {name}()" if is_out_of_place(name[:-1]) else f"clone() before {name}()"
        return None if _is_dropped(code, instruction) else new
    node = expression_at(code, instruction)
    statement = statement_at(file, line, node)
    return None if statement is None else _cure(name, statement, node, imported(file))


def _cure(name: str, statement: ast.stmt, node: ast.AST | None, modules: frozenset[str]) -> str | None:
    if isinstance(statement, ast.AugAssign) and node in (None, statement):
        named = is_sign_of(statement, name)
        return assigned_anew(statement) if named and isinstance(statement.target, (ast.Name, ast.Attribute)) else None
    call = node
    if not isinstance(call, ast.Call):
        # Where nobody can tell which call of the line it is: the first of that name.
        call = next((n for n in ast.walk(statement) if isinstance(n, ast.Call) and called(n) == name), None)
    if name.startswith("_") or (isinstance(statement, ast.Expr) and (call is None or call in _chain(statement.value))):
        return None
    if name in MEANT:
        return None if call is None else _filled(call, name, statement, modules)
    if call is not None:
        return out_of_place(call, name)
    return None if node is None else f"clone() what {name}() writes to"  # `a, b = map(torch.relu_, [x, y])`


def _filled(call: ast.Call, name: str, statement: ast.stmt, modules: frozenset[str]) -> str | None:
    """
    Return how a variable is filled out of place, whose old values may be read under the name that it has.

    None of `noise = noise.bernoulli_()`, and of a new tensor, `torch.empty(3).normal_()`.
    """
    function = call.func
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, (ast.Name, ast.Attribute)):
        return None
    filled = text_of(function.value)
    bound = map(text_of, statement.targets) if isinstance(statement, ast.Assign) else ()
    return None if root(function) in modules or filled in bound else f"{filled}.clone().{name}(...)"


def _of_item(name: str, frame: FrameType) -> str | None:
    """Return how `features[i] += y` is written out of place, where `features` is a list or dictionary of tensors."""
    file, line = frame.f_code.co_filename, frame.f_lineno
    statement = statement_at(file, line, expression_at(frame.f_code, frame.f_lasti))
    if not isinstance(statement, ast.AugAssign) or not isinstance(statement.target, ast.Subscript):
        return None
    container = value_of(statement.target.value, frame)
    is_plain = isinstance(container, (list, dict)) and is_sign_of(statement, name)
    return assigned_anew(statement) if is_plain else None


def _is_dropped(code: CodeType, instruction: int) -> bool:
    """Whether code without a source drops what an instruction gives, or puts it into an item: `x[i] += y`."""
    after = (each.opname for each in dis.get_instructions(code) if each.offset > instruction and each.opname != "CACHE")
    return next(after, "").startswith(("POP_TOP", "STORE_SUBSCR", "SWAP", "ROT_"))


def _chain(expression: ast.expr) -> list[ast.AST]:
    """Return a call and those that its method is called on: both of `x.mul_(2).add_(1)`."""
    found: list[ast.AST] = []
    part: ast.AST = expression
    while isinstance(part, ast.Call):
        found.append(part)
        part = part.func.value if isinstance(part.func, ast.Attribute) else part.func
    return found
