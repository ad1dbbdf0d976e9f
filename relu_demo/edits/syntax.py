"""The source of a file: its tree with what is around each part, edits of parts, and what its names stand for."""

from __future__ import annotations

import ast
import linecache
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from relu_demo.edits.edit import Edit, Position
from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import called, expression_at, parsed, statement_at

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
ATOMS = (ast.Name, ast.Constant, ast.Attribute, ast.Call, ast.Subscript, ast.List)
"""What needs no parentheses before a dot."""
VIEWING_METHODS = {
    "as_strided", "chunk", "contiguous", "cpu", "detach", "diagonal", "expand", "expand_as", "flatten", "flip_view",
    "hsplit", "movedim", "narrow", "permute", "ravel", "reshape", "select", "split", "squeeze", "swapaxes", "swapdims",
    "t", "tensor_split", "to", "transpose", "unbind", "unflatten", "unfold", "unsqueeze", "view", "view_as", "vsplit",
    "get", "items", "pop", "values",
}  # fmt: skip
"""Methods whose result can have the memory of their tensor, or of what is in their container."""
OF_A_MODULE = {"buffers", "named_buffers", "named_parameters", "parameters"}
"""Methods that hand out what a module keeps."""
PASSING_ON = {"enumerate", "iter", "list", "next", "reversed", "sorted", "tuple", "zip"}
"""Functions that hand on what they are given."""
SAME_MEMORY = {"data", "T", "mT", "H", "mH", "real", "imag"}
"""Attributes that have the memory of their tensor."""
CALLER = "a caller"
"""Whose memory an argument has."""


@dataclass(frozen=True)
class Found:
    """A place in the source: its statement, and the part of that which ran, where that is known."""

    syntax: Syntax
    statement: ast.stmt
    node: ast.AST | None


def found_at(place: Place | None) -> Found | None:
    """Return what the source has at a place; None where there is no source that is known to be what ran."""
    syntax = syntax_of(place.file) if place is not None else None
    if place is None or syntax is None:
        return None
    node = expression_at(*place.frames[0]) if place.frames else None
    statement = syntax.statement_of(node) if node is not None else statement_at(place.file, place.line)
    return None if statement is None else Found(syntax, statement, node)


def syntax_of(file: str | None) -> Syntax | None:
    """Return the syntax of a file; None where it is no file, is no Python, or was changed since it was read."""
    tree = parsed(file) if file and os.path.isfile(file) else None
    if file is None or tree is None:
        return None
    size, time = (*linecache.cache.get(file, ()), None, None)[:2]
    now = os.stat(file)
    return None if time is not None and (size, time) != (now.st_size, now.st_mtime) else _syntax(file, tree)


def start_of(node: ast.AST) -> Position:
    """Return where a part begins."""
    assert isinstance(node, (ast.expr, ast.stmt, ast.keyword))
    return node.lineno, node.col_offset


def end_of(node: ast.AST) -> Position:
    """Return where a part ends."""
    assert isinstance(node, (ast.expr, ast.stmt, ast.keyword))
    return node.end_lineno or 0, node.end_col_offset or 0


class Syntax:
    """A file's tree, with what is around each part of it, and its lines, in which a column counts bytes."""

    def __init__(self, file: str, tree: ast.Module) -> None:
        self.file, self.tree = file, tree
        self.lines = [line.rstrip("\n").encode() for line in linecache.getlines(file)]
        self.parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}

    def around(self, node: ast.AST | None) -> Iterator[ast.AST]:
        """Yield a part and what is around it, the innermost first."""
        while node is not None:
            yield node
            node = self.parents.get(node)

    def statement_of(self, node: ast.AST) -> ast.stmt:
        """Return the innermost statement around this part."""
        return next(each for each in self.around(node) if isinstance(each, ast.stmt))

    def scope_of(self, node: ast.AST) -> ast.AST:
        """Return the function, or the module, in which a part stands."""
        outer = self.around(self.parents.get(node))
        return next((each for each in outer if isinstance(each, (*FUNCTIONS, ast.Module))), self.tree)

    def block_of(self, statement: ast.stmt) -> list[ast.stmt]:
        """Return the statements that stand in a row with one, itself among them."""
        fields = (value for _, value in ast.iter_fields(self.parents[statement]))
        return next(value for value in fields if isinstance(value, list) and statement in value)

    def header(self, statement: ast.stmt) -> Iterator[ast.AST]:
        """Yield the parts of a statement without the statements in its body."""
        for child in ast.iter_child_nodes(statement):
            if not isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):
                yield from ast.walk(child)

    def text(self, node: ast.AST) -> str:
        """Return the source of a part as it is written."""
        return self.between(start_of(node), end_of(node))

    def between(self, start: Position, end: Position) -> str:
        """Return the source of a range."""
        lines = self.lines[start[0] - 1 : end[0]]
        lines[-1] = lines[-1][: end[1]]
        lines[0] = lines[0][start[1] :]
        return b"\n".join(lines).decode()

    def replace(self, node: ast.AST, new: str) -> Edit:
        """Return the edit that puts a text in the place of a part."""
        return Edit(self.file, start_of(node), end_of(node), new)

    def insert(self, at: Position, new: str) -> Edit:
        """Return the edit that puts a text at a place."""
        return Edit(self.file, at, at, new)

    def cloned(self, node: ast.expr) -> list[Edit]:
        """Return the edits that add `.clone()` to an expression; none of what would need parentheses."""
        return [self.insert(end_of(node), ".clone()")] if isinstance(node, ATOMS) else []

    def indent(self, statement: ast.stmt) -> str | None:
        """Return what stands before a statement; None where another statement shares its lines."""
        (line, column), (last, end) = start_of(statement), end_of(statement)
        before, behind = self.lines[line - 1][:column].decode(), self.lines[last - 1][end:].strip()
        return before if not before.strip() and (not behind or behind.startswith(b"#")) else None

    def before(self, statement: ast.stmt, code: str) -> Edit:
        """Return the edit that puts a statement before another."""
        indent = self.indent(statement)
        return self.insert(start_of(statement), f"{code}; " if indent is None else f"{code}\n{indent}")

    def after(self, statement: ast.stmt, code: str) -> Edit:
        """Return the edit that puts a statement behind another."""
        indent, (line, column) = self.indent(statement), end_of(statement)
        if indent is None:
            return self.insert((line, column), f"; {code}")
        return self.insert((line, len(self.lines[line - 1])), f"\n{indent}{code}")

    def memory_of(self, names: set[str], at: ast.AST, and_views: bool = False) -> set[str]:
        """Return names with those that they have their memory of in a function, `CALLER` where that is an argument's.

        With `and_views` also those that have it of them.
        """
        scope = self.scope_of(at)
        known = [(names_of(target), names_of(value)) for target, value in self.bindings(scope) if is_name(target)]
        known += [(base, name) for name, base in known] if and_views else []
        while found := [base for name, base in known if name & names and not base <= names]:
            names = names.union(*found)
        return names | {CALLER} if names & arguments_of(scope) else names

    def is_for_caller(self, node: ast.expr, at: ast.AST) -> bool:
        """Return whether a function that returns nothing has the memory from its caller: that reads what it writes."""
        scope = self.scope_of(at)
        parts = (part for part in ast.walk(scope) if isinstance(part, (ast.Return, ast.Yield, ast.YieldFrom)))
        gives = isinstance(scope, ast.Lambda) or any(part.value and self.scope_of(part) is scope for part in parts)
        return not gives and CALLER in self.memory_of(names_of(node), at)

    def bindings(self, scope: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
        """Yield each target that a function binds, with its value; functions inside of it are left out."""
        for part in ast.walk(scope):
            if isinstance(part, (ast.Assign, ast.For, ast.AsyncFor)) and self.scope_of(part) is scope:
                targets = part.targets if isinstance(part, ast.Assign) else [part.target]
                for target in targets:
                    yield from pairs(target, part.value if isinstance(part, ast.Assign) else part.iter)
            elif isinstance(part, (ast.AnnAssign, ast.NamedExpr)) and part.value and self.scope_of(part) is scope:
                yield part.target, part.value

    def can_be_bound(self, node: ast.expr) -> bool:
        """Return whether an assignment to a name or an attribute binds what others of its function read by it."""
        scope = self.scope_of(node)
        if not isinstance(node, ast.Name) or isinstance(scope, ast.Lambda):
            return is_name(node) and not isinstance(scope, ast.Lambda)
        bound = {target.id for target, _ in self.bindings(scope) if isinstance(target, ast.Name)}
        return isinstance(scope, ast.Module) or node.id in arguments_of(scope) | bound

    def is_read_after(self, text: str, statement: ast.stmt) -> bool:
        """Return whether a name or an attribute is read when a statement has run, or anywhere in the loop around it."""
        scope, begin = self.scope_of(statement), end_of(statement)
        for loop in takewhile(lambda each: each is not scope, self.around(statement)):
            if isinstance(loop, (ast.For, ast.AsyncFor, ast.While)):  # a `while` reads its condition in each round
                begin = start_of(loop if isinstance(loop, ast.While) else loop.body[0])
        own = set() if isinstance(statement, ast.While) else set(ast.walk(statement))
        parts = (part for part in ast.walk(scope) if isinstance(part, (ast.Name, ast.Attribute)) and part not in own)
        return any(
            ast.unparse(part) == text and isinstance(part.ctx, ast.Load) and start_of(part) >= begin for part in parts
        )


_syntax = lru_cache(maxsize=64)(Syntax)


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
    """Return whether a part is a name or an attribute of one, which can be read twice and bound anew."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def names_of(node: ast.expr) -> set[str]:
    """Return the names whose memory an expression may have: `x` of `x[0]`, both of `x if a else y`."""
    base = same_memory(node)
    if isinstance(base, ast.IfExp):
        return names_of(base.body) | names_of(base.orelse)
    if isinstance(base, ast.Call) and called(base) in PASSING_ON:
        return set().union(*map(names_of, base.args))
    if isinstance(base, ast.Call) and called(base) in OF_A_MODULE:
        return {ast.unparse(base)}
    return {ast.unparse(base)} if is_name(base) else set()


def pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield each target of an assignment with what it is bound to, whole where nobody can tell its part."""
    if not isinstance(target, (ast.Tuple, ast.List)):
        yield target, value
        return
    parts = value.elts if isinstance(value, (ast.Tuple, ast.List)) else []
    same = len(parts) == len(target.elts)
    for at, each in enumerate(target.elts):
        yield from pairs(each, parts[at] if same else value)


def arguments_of(scope: ast.AST) -> set[str]:
    """Return the names of a function's arguments; an empty set for a module."""
    arguments = ast.walk(scope.args) if isinstance(scope, FUNCTIONS) else ()
    return {part.arg for part in arguments if isinstance(part, ast.arg)}
