"""A loss whose weights are stepped before its backward: the edits that compute it again, or change the order."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from relu_demo.edits.edit import Edit
from relu_demo.edits.scene import Scene, Spot
from relu_demo.edits.syntax import FUNCTIONS, Syntax, syntax_of


@dataclass(frozen=True)
class Course:
    """The three statements of one function that save, write and go backward, themselves or by what they call."""

    syntax: Syntax
    saves: ast.stmt | None
    writes: ast.stmt
    raises: ast.stmt


def course_of(scene: Scene) -> Course | None:
    """Return the course of a scene in the innermost function that has its write and its backward in this order."""
    if scene.raised_at is None or not scene.writers:
        return None
    for raised in (scene.raised_at, *scene.raised_at.called_from):
        syntax = syntax_of(raised.file)
        raises = syntax.statement(raised) if syntax is not None else None
        if syntax is None or raises is None:
            continue
        writes = _in_same_function(syntax, raises, scene.writers[0])
        if writes is None or syntax.range(writes)[1] > syntax.range(raises)[0]:
            continue
        saves = _in_same_function(syntax, raises, scene.saver) if scene.saver is not None else None
        return Course(syntax, saves, writes, raises)
    return None


def _in_same_function(syntax: Syntax, node: ast.stmt, spot: Spot) -> ast.stmt | None:
    """Return the statement of a spot, or of a line that called it, that is in the function of a node."""
    for each in (spot, *spot.called_from):
        found = syntax.statement(each) if each.file == syntax.file else None
        if found is not None and syntax.scope_of(found) is syntax.scope_of(node):
            return found
    return None


def computed_again(course: Course) -> tuple[list[str], list[Edit]] | None:
    """
    Return the names that are computed again before the backward, and the edit; None where no few lines do it.

    They are what stands between the saver and the write, depends on the saver and is needed by the backward.
    """
    syntax, saves, raises = course.syntax, course.saves, course.raises
    if saves is None:
        return None
    block = syntax.block_of(saves)
    writes = next((each for each in syntax.around(course.writes) if each in block), None)
    below = next((each for each in syntax.around(raises) if each in block), None)
    if writes is None or below is None or not block.index(saves) < block.index(writes) <= block.index(below):
        return None
    lines = block[block.index(saves) : block.index(writes)]
    needed, parts = _needed_of(lines, _names(raises, ast.Load))
    again, changed = [], set[str]()
    for line, target, value in parts:
        if line is saves or _names(value, ast.Load) & changed:
            changed |= _names(target, ast.Store)
            again.append(f"{syntax.text(target)} = {syntax.text(value)}")
    between = block[block.index(writes) + 1 : block.index(below)]
    indent = syntax.indent(raises)
    if (
        indent is None
        or not changed & _names(raises, ast.Load)
        or any(_names(each, ast.Store) & needed for each in between)
    ):
        return None
    return sorted(changed), [syntax.before(raises, f"\n{indent}".join(again))]


def _needed_of(lines: list[ast.stmt], needed: set[str]) -> tuple[set[str], list[tuple[ast.stmt, ast.expr, ast.expr]]]:
    """
    Return the names that others depend on, and what binds them in order: the line, the target and the value.

    Nothing where that is a loop or a sum: to run it again would add to it.
    """
    found: list[tuple[ast.stmt, ast.expr, ast.expr]] = []
    for line in reversed(lines):
        bound = _names(line, ast.Store) & needed
        if bound and not isinstance(line, ast.Assign):
            return needed, []
        for target, value in _needed_parts(line, bound) if isinstance(line, ast.Assign) and bound else ():
            needed = needed | _names(value, ast.Load)
            found.insert(0, (line, target, value))
    return needed, found


def _needed_parts(line: ast.Assign, bound: set[str]) -> list[tuple[ast.expr, ast.expr]]:
    """Return the targets of an assignment that bind one of these names, each with its value."""
    target, value = line.targets[0], line.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        pairs = zip(target.elts, value.elts, strict=True)
        return [(each, part) for each, part in pairs if _names(each, ast.Store) & bound]
    return [(target, value)]


def in_other_order(course: Course) -> list[Edit] | None:
    """Return the edits that put the write behind the backward; None where that is no matter of one block."""
    syntax, writes, raises = course.syntax, course.writes, course.raises
    block = syntax.block_of(raises)
    writes = next((each for each in syntax.around(writes) if each in block and not isinstance(each, FUNCTIONS)), writes)
    if writes not in block or writes is raises or syntax.indent(writes) is None or syntax.indent(raises) is None:
        return None
    names = _names(writes, ast.Load)
    for line in block[block.index(writes) + 1 : block.index(raises)]:
        quiet = isinstance(line, ast.Expr) and isinstance(line.value, ast.Call)
        if not quiet or not ast.unparse(line).partition("(")[0].endswith(("zero_grad", "print")):
            return None
        if _names(line, ast.Load) & names:
            return None
    first, (start, end) = syntax.line(syntax.range(writes)[0])[0], syntax.range(writes)
    last = syntax.line(end)[1]
    code = syntax.data[start:last].decode()
    return [syntax.replace(first, last + 1, ""), syntax.after(raises, code)]


def _names(node: ast.AST, kind: type[ast.expr_context]) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, kind)}
