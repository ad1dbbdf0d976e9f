"""
Which node of the source an instruction evaluates, found by compiling the source again.

Python 3.10 tells no more of an instruction than its line. Here each node of a copy of the syntax tree gets a line
number of its own: the line of the same instruction, in what that compiles to, names the node.
"""

from __future__ import annotations

import ast
import copy
import dis
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType

_PADDING = {"NOP", "EXTENDED_ARG", "CACHE"}
"""What a compiler puts in where line numbers or lengths ask for it: two compilations may differ in these."""


def node_at(code: CodeType, instruction: int, tree: ast.Module) -> ast.AST | None:
    """
    Return the node of `tree` that an instruction evaluates; None where the tree is not what was compiled.

    `instruction` is a frame's `f_lasti`, in bytes.
    """
    nodes, compiled = _numbered(tree)
    for other in compiled:
        first = getattr(nodes[other.co_firstlineno - 1], "lineno", code.co_firstlineno)  # a module has none
        if first == code.co_firstlineno and _is_same(other, code):
            index = sum(each.offset <= instruction for each in _instructions(code)) - 1
            same = list(_instructions(other))[index]
            line = next((line for start, end, line in other.co_lines() if start <= same.offset < end), None)
            return None if line is None else _whole(nodes[line - 1], same.opname, nodes)
    return None


@lru_cache(maxsize=16)
def _numbered(tree: ast.Module) -> tuple[list[ast.AST], list[CodeType]]:
    """Return the nodes of a tree, and the code of its copy, in which line n is that of the n-th node."""
    numbered = copy.deepcopy(tree)
    for i, node in enumerate(ast.walk(numbered)):
        if "lineno" in node._attributes:
            vars(node).update(lineno=i + 1, end_lineno=i + 1, col_offset=0, end_col_offset=0)
    return list(ast.walk(tree)), list(_codes_in(compile(numbered, "", "exec", dont_inherit=True)))


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_in(constant)


def _instructions(code: CodeType) -> Iterator[dis.Instruction]:
    return (each for each in dis.get_instructions(code) if each.opname not in _PADDING)


def _is_same(a: CodeType, b: CodeType) -> bool:
    named = ((code.co_name, code.co_names, code.co_varnames, code.co_freevars) for code in (a, b))
    operations = ([each.opname for each in _instructions(code)] for code in (a, b))
    return next(named) == next(named) and next(operations) == next(operations)


def _whole(node: ast.AST, operation: str, nodes: list[ast.AST]) -> ast.AST:
    """Return the call where an instruction calls a method: it has the line of the method's name."""
    if "CALL" not in operation or not isinstance(node, ast.Attribute):
        return node
    return next((call for call in nodes if isinstance(call, ast.Call) and call.func is node), node)
