"""Which writes in place have a result that the user's line uses."""

from __future__ import annotations

import ast
import dis
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

from torch import Tensor

from relu_demo.sanitizer.frames import calling_frame
from relu_demo.sanitizer.source import (
    AUGMENTED,
    MEANT,
    called,
    expression_at,
    imported,
    is_sign_of,
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
_SIGNS = {f"__{name}__" for names in AUGMENTED.values() for name in names if name.startswith("i")}
"""What PyTorch is told of `x |= y` and its like; other names with two underscores write nothing that is used."""
_INITIAL = "torch.nn.init"


def rebinds(function: Any, written: Any) -> bool:
    """Return whether the function writes in place, and the running line uses its result.

    `written` is the tensor. False for every other function; for a statement that is nothing but the write
    (`x.mul_(2)`, `x[i] += y` of a tensor), which is meant to change the tensor; and where the line is not the user's.
    """
    name = str(getattr(function, "__name__", "")).partition(".")[0]
    writes = name in _SIGNS if name.startswith("__") else name.endswith("_") and name not in _NO_VALUES
    if not writes or not isinstance(written, Tensor):
        return False
    frame = calling_frame()
    if frame is None or getattr(function, "__module__", "") == _INITIAL:
        return False
    code = frame.f_code
    return _is_used(name, code, code.co_filename, frame.f_lineno, frame.f_lasti) or _is_of_container(name, frame)


@lru_cache(maxsize=4096)
def _is_used(name: str, code: CodeType, file: str, line: int, instruction: int) -> bool:
    # Python holds code of two files for equal, so that the file has to be named too.
    if parsed(file) is None:
        return not _is_dropped(code, instruction)
    node = expression_at(code, instruction)
    statement = statement_at(file, line, node)
    return statement is not None and _uses(name, statement, node, imported(file))


def _uses(name: str, statement: ast.stmt, node: ast.AST | None, modules: frozenset[str]) -> bool:
    if isinstance(statement, ast.AugAssign) and node in (None, statement):
        return is_sign_of(statement, name) and isinstance(statement.target, (ast.Name, ast.Attribute))
    call = node
    if not isinstance(call, ast.Call):
        # Where nobody can tell which call of the line it is: the first of that name.
        call = next((n for n in ast.walk(statement) if isinstance(n, ast.Call) and called(n) == name), None)
    if isinstance(statement, ast.Expr) and (call is None or call in _chain(statement.value)):
        return False
    if name in MEANT:
        return call is not None and _fills_a_variable(call, statement, modules)
    return call is not None or node is not None  # `a, b = map(torch.relu_, [x, y])`


def _fills_a_variable(call: ast.Call, statement: ast.stmt, modules: frozenset[str]) -> bool:
    """Return whether it fills a variable for another name: not `x = x.normal_()`, nor `torch.empty(3).normal_()`."""
    function = call.func
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, (ast.Name, ast.Attribute)):
        return False
    bound = map(text_of, statement.targets) if isinstance(statement, ast.Assign) else ()
    return root(function) not in modules and text_of(function.value) not in bound


def _is_of_container(name: str, frame: FrameType) -> bool:
    """Return whether the line is `features[i] += y`, where `features` is a list or dictionary of tensors."""
    file, line = frame.f_code.co_filename, frame.f_lineno
    statement = statement_at(file, line, expression_at(frame.f_code, frame.f_lasti))
    if not isinstance(statement, ast.AugAssign) or not isinstance(statement.target, ast.Subscript):
        return False
    return isinstance(value_of(statement.target.value, frame), (list, dict)) and is_sign_of(statement, name)


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
