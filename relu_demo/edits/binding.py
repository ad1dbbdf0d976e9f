"""What a name stands for where a line runs: whose memory it has, and whether that is read later."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from relu_demo.edits.syntax import FUNCTIONS, LOOPS, Syntax

VIEWING_METHODS = {
    "as_strided", "chunk", "contiguous", "cpu", "detach", "diagonal", "expand", "expand_as", "flatten", "flip_view",
    "hsplit", "movedim", "narrow", "permute", "ravel", "reshape", "select", "split", "squeeze", "swapaxes", "swapdims",
    "t", "tensor_split", "to", "transpose", "unbind", "unflatten", "unfold", "unsqueeze", "view", "view_as", "vsplit",
}  # fmt: skip
"""Methods whose result can have the memory of their tensor."""
SAME_MEMORY = {"data", "T", "mT", "H", "mH", "real", "imag"}
"""Attributes that have the memory of their tensor."""
CALLER = "a caller"
"""Whose memory an argument has."""


def same_memory(node: ast.expr) -> ast.expr:
    """Return the expression whose memory another has: `h` of `h[0].detach()`, of `h.view(-1)` and of `h.data`."""
    while True:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in VIEWING_METHODS:
            node = node.func.value
        elif isinstance(node, (ast.Subscript, ast.Starred)) or (
            isinstance(node, ast.Attribute) and node.attr in SAME_MEMORY
        ):
            node = node.value
        else:
            return node


def is_name(node: ast.AST) -> bool:
    """Return whether a node is a name or an attribute of one, which can be read twice and bound anew."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def memory_of(syntax: Syntax, node: ast.expr, at: ast.AST) -> set[str]:
    """Return the names that have the memory of an expression where a node runs, `CALLER` for an argument's."""
    found: set[str] = set()
    waiting = [same_memory(node)]
    while waiting:
        each = waiting.pop()
        if isinstance(each, ast.IfExp):
            waiting += map(same_memory, (each.body, each.orelse))
            continue
        text = ast.unparse(each)
        if not is_name(each) or text in found:
            continue
        found.add(text)
        if isinstance(each, ast.Name):
            values, is_argument = _bound_to(syntax, each.id, at)
            waiting += map(same_memory, values)
            found |= {CALLER} if is_argument and not values else set()
    return found


def aliases(syntax: Syntax, names: set[str], at: ast.AST) -> set[str]:
    """Return names with all others of the same function that have memory with them."""
    stored = {part.id for part in parts_of(syntax.scope_of(at)) if isinstance(part, ast.Name)} - names
    return names | {name for name in stored if memory_of(syntax, ast.Name(name), at) & names - {CALLER}}


def is_bound(syntax: Syntax, name: str, at: ast.AST) -> bool:
    """Return whether a name can be bound where a node stands, and is the same variable afterwards."""
    values, is_argument = _bound_to(syntax, name, at)
    return bool(values) or is_argument or isinstance(syntax.scope_of(at), ast.Module)


def is_read_after(syntax: Syntax, text: str, statement: ast.stmt) -> bool:
    """Return whether a name or an attribute is read when a statement has run, also in the next round of a loop."""
    scope, (start, end) = syntax.scope_of(statement), syntax.range(statement)
    parts = [(syntax.range(part), part) for part in parts_of(scope) if isinstance(part, (ast.Name, ast.Attribute))]
    same = [(place, part) for place, part in parts if ast.unparse(part) == text]
    if any(place[0] >= end and isinstance(part.ctx, ast.Load) for place, part in same):
        return True
    for loop in syntax.around(statement):
        if loop is scope:
            break
        if isinstance(loop, LOOPS):
            again = loop.test if isinstance(loop, ast.While) else loop.target
            first, last = syntax.range(again)[0], syntax.range(loop)[1]
            if not isinstance(loop, ast.While):  # what a loop goes through is read once
                same = [(place, part) for place, part in same if part not in ast.walk(loop.iter)]
            inside = sorted((place, isinstance(part.ctx, ast.Load)) for place, part in same if first <= place[0] < last)
            if inside and inside[0][1] and inside[0][0][0] < start:
                return True
    return False


def parts_of(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a function, with those of the functions in it."""
    body = getattr(scope, "body", [])
    for statement in body if isinstance(body, list) else [body]:
        yield from ast.walk(statement)


def _bound_to(syntax: Syntax, name: str, at: ast.AST) -> tuple[list[ast.expr], bool]:
    """Return the expressions that a name was last bound to before a node runs, and whether it is an argument."""
    scope = syntax.scope_of(at)
    found: list[tuple[int, ast.expr]] = []
    for part in parts_of(scope):
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(part, ast.Assign):
            pairs = [pair for target in part.targets for pair in _pairs(target, part.value)]
        elif isinstance(part, (ast.For, ast.AsyncFor)):
            pairs = _pairs(part.target, part.iter) if part in list(syntax.around(at)) else []
        elif isinstance(part, (ast.AnnAssign, ast.NamedExpr)) and part.value is not None:
            pairs = [(part.target, part.value)]
        for target, value in pairs:
            if isinstance(target, ast.Name) and target.id == name and syntax.scope_of(part) is scope:
                found.append((syntax.range(part)[0], value))
    start = syntax.range(at)[0]
    before = [pair for pair in found if pair[0] < start] or found
    last = max((place for place, _ in before), default=0)
    arguments = ast.walk(scope.args) if isinstance(scope, FUNCTIONS) else ()
    return [value for place, value in before if place == last], name in {
        part.arg for part in arguments if isinstance(part, ast.arg)
    }


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    """Return each target of an assignment with what it is bound to, whole where nobody can tell its part."""
    if not isinstance(target, (ast.Tuple, ast.List)):
        return [(target, value)]
    parts = value.elts if isinstance(value, (ast.Tuple, ast.List)) else []
    if len(parts) == len(target.elts):
        return [pair for each, part in zip(target.elts, parts, strict=True) for pair in _pairs(each, part)]
    return [pair for each in target.elts for pair in _pairs(each, value)]
