"""A loss whose weights are stepped before its backward: the edits that compute it again, or change the order."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from relu_demo.edits.edit import Edit, Scene
from relu_demo.edits.syntax import FUNCTIONS, Found, Syntax, end_of, found_at, pairs, start_of
from relu_demo.sanitizer.place import Place


@dataclass(frozen=True)
class Course:
    """The three statements of one function that save, write and go backward, themselves or by what they call."""

    syntax: Syntax
    saves: ast.stmt | None
    writes: ast.stmt
    raises: ast.stmt


def course_of(scene: Scene) -> Course | None:
    """Return the course of a scene in the innermost function that has its write and its backward in this order."""
    for place in (scene.raised_at, *scene.raised_at.called_from) if scene.raised_at else ():
        found = found_at(place)
        writes = _in_same_function(found, scene.writers[0]) if found is not None else None
        if found is not None and writes is not None and end_of(writes) <= start_of(found.statement):
            return Course(found.syntax, _in_same_function(found, scene.saver), writes, found.statement)
    return None


def _in_same_function(found: Found, place: Place | None) -> ast.stmt | None:
    """Return the statement of a place, or of a line that called it, that is in the function of what was found."""
    for each in (place, *place.called_from) if place is not None else ():
        other = found_at(each) if each.file == found.syntax.file else None
        if other and found.syntax.scope_of(other.statement) is found.syntax.scope_of(found.statement):
            return other.statement
    return None


def computed_again(course: Course) -> tuple[list[str], list[Edit]] | None:
    """Return the names that are computed again before the backward, and the edit; None where no few lines do it.

    They are what stands between the saver and the write, depends on the saver and is needed by the backward.
    """
    syntax, saves, raises = course.syntax, course.saves, course.raises
    if saves is None:
        return None
    block, indent = syntax.block_of(saves), syntax.indent(raises)
    first, middle, last = (_place_in(syntax, block, each) for each in (saves, course.writes, raises))
    if indent is None or not 0 <= first < middle <= last:
        return None
    parts = _needed_parts(block[first:middle], raises)
    changed, again = dict[str, None](), list[str]()  # names, in the order in which they are bound
    for line, target, value in parts:
        if line is saves or _names(value, ast.Load) & changed.keys():
            changed |= dict.fromkeys(sorted(_names(target, ast.Store)))
            again.append(f"{syntax.text(target)} = {syntax.text(value)}")
    needed = set(changed).union(*(_names(value, ast.Load) for _, _, value in parts))
    is_bound_between = any(_names(each, ast.Store) & needed for each in block[middle:last])
    if is_bound_between or not changed.keys() & _names(raises, ast.Load):
        return None
    return list(changed), [syntax.before(raises, f"\n{indent}".join(again))]


def _needed_parts(lines: list[ast.stmt], raises: ast.stmt) -> list[tuple[ast.stmt, ast.expr, ast.expr]]:
    """Return what binds the names that a backward needs, in order, with its line; nothing if that is a loop."""
    needed, parts = _names(raises, ast.Load), list[tuple[ast.stmt, ast.expr, ast.expr]]()
    for line in reversed(lines):
        if not _names(line, ast.Store) & needed:
            continue
        if not isinstance(line, ast.Assign) or len(line.targets) > 1:  # to run a loop or a sum again would add to it
            return []
        found = list(pairs(line.targets[0], line.value))
        found = [(line.targets[0], line.value)] if any(value is line.value for _, value in found) else found
        for target, value in found:
            if _names(target, ast.Store) & needed:
                needed |= _names(value, ast.Load)
                parts.insert(0, (line, target, value))
    return parts


def in_other_order(course: Course) -> list[Edit] | None:
    """Return the edits that put the write behind the backward; None where that is no matter of one block."""
    syntax, raises = course.syntax, course.raises
    block = syntax.block_of(raises)
    row = _place_in(syntax, block, course.writes)
    if row < 0 or block[row] is raises or None in (syntax.indent(block[row]), syntax.indent(raises)):
        return None
    writes, between = block[row], block[row + 1 : block.index(raises)]
    if _names(writes, ast.Store) & _names(raises, ast.Load):  # a loop that steps, and adds to the loss
        return None
    for line in between:
        call = ast.unparse(line).partition("(")[0]
        if not call.endswith(("zero_grad", "print")) or _names(line, ast.Load) & _names(writes, ast.Load):
            return None
    (first, _), (last, _) = start_of(writes), end_of(writes)
    code = syntax.between((first, 0), (last, len(syntax.lines[last - 1])))
    return [Edit(syntax.file, (first, 0), (last + 1, 0), ""), syntax.after(raises, code.lstrip())]


def _place_in(syntax: Syntax, block: list[ast.stmt], statement: ast.stmt) -> int:
    """Return which statement of a block one is part of; -1 where it is in no other or in a function of that."""
    for each in syntax.around(statement):
        if each in block and not isinstance(each, FUNCTIONS):
            return block.index(each)
    return -1


def _names(node: ast.AST, kind: type[ast.expr_context]) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, kind)}
