"""What to do about a write to a part of a tensor, `x[i] = y` or `x[i] += y`."""

from __future__ import annotations

import ast

from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import SIGNS, assigned, assigned_anew, called, text_of
from relu_demo.watching.case import Case, besides, edit
from relu_demo.watching.names import loop_around, target_of


def item(case: Case) -> str | None:
    """`x[i] = y`, `x[i] += y`."""
    assert case.writer is not None
    target = target_of(case.writer)
    statement = case.statement
    if not isinstance(target, ast.Subscript) or not isinstance(statement, (ast.Assign, ast.AugAssign)):
        return None
    if isinstance(statement, ast.Assign) and target not in statement.targets:
        return None
    if case.in_container and isinstance(statement, ast.AugAssign):
        return assigned_anew(statement)
    whole, index = text_of(target.value), target.slice
    is_mask = case.mask_lacks is not None or _is_mask(index, case.writer)
    value = _of_all_elements(statement.value, index) if is_mask else None
    if value is not None:
        if isinstance(statement, ast.AugAssign):
            value = f"{whole} {SIGNS[type(statement.op)]} {value}"
        new = f"{whole} = torch.where({_widened(index, case.mask_lacks or 0)}, {value}, {whole})"
        return new + besides(case, target.value)
    if case.is_state:
        return edit(case)
    loop = loop_around(case.writer)
    if _counts(index, loop) and not _is_read_whole(target.value, loop):
        return f"append to a list and torch.stack() it, in place of {text_of(target)} = ..."
    also = besides(case, target.value)
    if isinstance(statement, ast.Assign) and _is_read(target.value, statement.value):
        # What is read there is a view of what is written to, also of a clone.
        part = text_of(ast.Subscript(ast.Name("new"), index))
        return f"write to a copy: new = {whole}.clone(), then {part} = ..., and go on with new{also}"
    return f"write to a copy: {whole} = {whole}.clone() before that line{also}"


def _is_read(node: ast.expr, expression: ast.AST) -> bool:
    """Whether an expression reads a tensor, whole or in part."""
    return any(ast.unparse(part) == ast.unparse(node) for part in ast.walk(expression) if isinstance(part, ast.expr))


def _is_read_whole(node: ast.expr, loop: ast.stmt | None) -> bool:
    """Whether each round of a loop reads the whole tensor, so that it cannot be put together at the end."""
    text = ast.unparse(node)
    parts = list(ast.walk(loop)) if loop is not None else []
    indexed = {id(part.value) for part in parts if isinstance(part, ast.Subscript)}
    same = (part for part in parts if isinstance(part, (ast.Name, ast.Attribute, ast.Subscript)))
    return any(ast.unparse(part) == text for part in same if id(part) not in indexed)


def _of_all_elements(value: ast.expr, index: ast.expr) -> str | None:
    """Return what `torch.where` takes for what a mask assigns: a number, `y` of `x[mask] = y[mask]`; None of others."""
    number = value.operand if isinstance(value, ast.UnaryOp) else value
    if isinstance(number, ast.Constant) or (isinstance(number, ast.Call) and called(number) == "float"):
        return text_of(value)
    same = isinstance(value, ast.Subscript) and ast.dump(value.slice) == ast.dump(index)
    return text_of(value.value) if isinstance(value, ast.Subscript) and same else None


def _widened(mask: ast.expr, lacks: int) -> str:
    """Return a mask of as many dimensions as what it picks from: `done[..., None]` of the rows of a matrix."""
    text = text_of(mask)
    if not lacks:
        return text
    text = text if isinstance(mask, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)) else f"({text})"
    return f"{text}[..., {', '.join(['None'] * lacks)}]"


TELLING = ("bool", "isnan", "isinf", "isfinite", "logical_not", "logical_and", "logical_or", "eq", "ne", "lt", "gt")
"""Functions and methods whose result is a mask."""


def _is_mask(index: ast.expr, place: Place) -> bool:
    """Whether an index is a mask, by its own form or name or by what the function has assigned to it."""
    if isinstance(index, ast.Name) and any(
        _is_mask(value, place) for value in assigned(index.id, place.file, place.line)
    ):
        return True
    if isinstance(index, (ast.Compare, ast.BoolOp)):
        return True
    if isinstance(index, ast.BinOp) and isinstance(index.op, (ast.BitAnd, ast.BitOr, ast.BitXor)):
        return True
    if isinstance(index, ast.UnaryOp):
        return isinstance(index.op, (ast.Invert, ast.Not))
    if isinstance(index, ast.Call):
        return called(index) in TELLING
    return isinstance(index, (ast.Name, ast.Attribute)) and "mask" in text_of(index).lower()


def _counts(index: ast.expr, loop: ast.stmt | None) -> bool:
    """Whether an index goes on from round to round of a loop, so that each round writes a part of its own."""
    names = {part.id for part in ast.walk(index) if isinstance(part, ast.Name)}
    if isinstance(loop, (ast.For, ast.AsyncFor)):
        return not names.isdisjoint(part.id for part in ast.walk(loop.target) if isinstance(part, ast.Name))
    steps = (part.target for part in ast.walk(loop) if isinstance(part, ast.AugAssign)) if loop is not None else ()
    return not names.isdisjoint(target.id for target in steps if isinstance(target, ast.Name))
