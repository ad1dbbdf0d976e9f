"""The source of a file as a tree in which each part has its range, and the edits that are made of ranges."""

from __future__ import annotations

import ast
import bisect
import itertools
import linecache
import os
from collections.abc import Iterator
from functools import cached_property, lru_cache

from relu_demo.edits.edit import Edit
from relu_demo.edits.scene import Spot

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
LOOPS = (ast.For, ast.AsyncFor, ast.While)
ATOMS = (ast.Name, ast.Constant, ast.Attribute, ast.Call, ast.Subscript, ast.List)
"""What needs no parentheses beside a sign or before a dot."""


def source_of(file: str) -> str | None:
    """Return the text of a file, or of a notebook's cell; None where nobody can read it."""
    return "".join(linecache.getlines(file)) or None


def syntax_of(file: str) -> Syntax | None:
    """Return the syntax of a file; None where it is no file, is no Python, or was changed since it was read."""
    text = source_of(file) if os.path.isfile(file) else None
    return _parsed(file, text) if text is not None and not _is_changed(file) else None


def found_at(spot: Spot | None) -> tuple[Syntax, ast.stmt, ast.expr | ast.stmt | None] | None:
    """Return a spot's file, its statement, and the part of that which its range is; None where there is no source."""
    syntax = syntax_of(spot.file) if spot is not None else None
    statement = syntax.statement(spot) if syntax is not None and spot is not None else None
    if spot is None or syntax is None or statement is None:
        return None
    return syntax, statement, syntax.node(spot) if spot.span else None


def _is_changed(file: str) -> bool:
    size, time = (*linecache.cache.get(file, ()), None, None)[:2]
    now = os.stat(file)
    return time is not None and (size, time) != (now.st_size, now.st_mtime)


@lru_cache(maxsize=64)
def _parsed(file: str, text: str) -> Syntax | None:
    try:
        return Syntax(file, text)
    except (SyntaxError, ValueError):
        return None


class Syntax:
    """A file's tree, whose parts know what is around them and which bytes they are."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.tree, self.data = file, ast.parse(text), text.encode()
        self._starts = [0, *itertools.accumulate(len(line) + 1 for line in self.data.split(b"\n"))]

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The node around each node."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield a node and what is around it, the innermost first."""
        while True:
            yield node
            if node not in self.parents:
                return
            node = self.parents[node]

    def statement_of(self, node: ast.AST) -> ast.stmt:
        """Return the innermost statement that a node is part of."""
        return next(each for each in self.around(node) if isinstance(each, ast.stmt))

    def scope_of(self, node: ast.AST) -> ast.AST:
        """Return the function, or the module, whose names an expression reads."""
        outer = itertools.islice(self.around(node), 1, None)
        return next((each for each in outer if isinstance(each, (*FUNCTIONS, ast.Module))), self.tree)

    def block_of(self, statement: ast.stmt) -> list[ast.stmt]:
        """Return the statements that stand in a row with one, itself among them."""
        fields = (value for _, value in ast.iter_fields(self.parents[statement]))
        return next(value for value in fields if isinstance(value, list) and statement in value)

    def statement(self, spot: Spot) -> ast.stmt | None:
        """Return the innermost statement that a line is part of."""
        node = self.node(spot) if spot.span else None
        if node is not None:
            return self.statement_of(node)
        statements = [node for node in ast.walk(self.tree) if isinstance(node, ast.stmt)]
        held = [node for node in statements if node.lineno <= spot.line <= (node.end_lineno or node.lineno)]
        return max(held, key=lambda node: (node.lineno, node.col_offset), default=None)

    def node(self, spot: Spot) -> ast.expr | ast.stmt | None:
        """Return the expression or statement that a spot's range is; None where it has none."""
        line, column, end_line, end_column = spot.span or (0, 0, 0, 0)
        for node in ast.walk(self.tree):
            if not isinstance(node, (ast.expr, ast.stmt)) or isinstance(node, ast.Expr):  # a call's statement
                continue
            if (node.end_lineno, node.end_col_offset) != (end_line, end_column):
                continue
            starts = [(node.lineno, node.col_offset)]
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                # Python tells of a method on a line of its own from its name on.
                starts.append(self.position(self.name_of(node.func)[0]))
            if (line, column) in starts:
                return node
        return None

    def header(self, statement: ast.stmt) -> Iterator[ast.AST]:
        """Yield the parts of a statement that are in no other statement."""
        for child in ast.iter_child_nodes(statement):
            if not isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):
                yield from ast.walk(child)

    def range(self, node: ast.AST) -> tuple[int, int]:
        """Return where a node begins and ends, in bytes."""
        assert isinstance(node, (ast.expr, ast.stmt, ast.keyword))
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0),
        )

    def name_of(self, node: ast.Attribute) -> tuple[int, int]:
        """Return where the name behind the last dot begins and ends."""
        end = self.range(node)[1]
        return end - len(node.attr.encode()), end

    def position(self, offset: int) -> tuple[int, int]:
        """Return the line and the column of a byte."""
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1]

    def text(self, node: ast.AST) -> str:
        """Return the source of a node as it is written."""
        start, end = self.range(node)
        return self.data[start:end].decode()

    def replace(self, start: int, end: int, new: str) -> Edit:
        """Return the edit that puts a text in the place of some bytes."""
        return Edit(self.file, self.position(start), self.position(end), new)

    def cloned(self, node: ast.expr) -> list[Edit]:
        """Return the edits that add `.clone()` to an expression."""
        start, end = self.range(node)
        if isinstance(node, ATOMS):
            return [self.replace(end, end, ".clone()")]
        return [self.replace(start, start, "("), self.replace(end, end, ").clone()")]

    def line(self, offset: int) -> tuple[int, int]:
        """Return where the line of a byte begins, and where its line end stands."""
        number = bisect.bisect_right(self._starts, offset)
        return self._starts[number - 1], self._starts[number] - 1

    def indent(self, statement: ast.stmt) -> str | None:
        """Return what stands before a statement; None where another statement shares its lines."""
        start, end = self.range(statement)
        before = self.data[self.line(start)[0] : start].decode()
        behind = self.data[end : self.line(end)[1]].strip()
        return before if not before.strip() and (not behind or behind.startswith(b"#")) else None

    def before(self, statement: ast.stmt, code: str) -> Edit:
        """Return the edit that puts a statement before another."""
        start, indent = self.range(statement)[0], self.indent(statement)
        return self.replace(start, start, f"{code}; " if indent is None else f"{code}\n{indent}")

    def after(self, statement: ast.stmt, code: str) -> Edit:
        """Return the edit that puts a statement behind another."""
        end, indent = self.range(statement)[1], self.indent(statement)
        if indent is None:
            return self.replace(end, end, f"; {code}")
        end = min(self.line(end)[1], len(self.data))
        return self.replace(end, end, f"\n{indent}{code}")
