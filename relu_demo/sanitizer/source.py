"""What the user wrote at a line: its statement, the statements around it, and the text and names of a part of it."""

from __future__ import annotations

import ast
import dis
import linecache
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from itertools import islice
from types import CodeType, FrameType

AUGMENTED: Mapping[type[ast.operator], tuple[str, ...]] = {
    ast.Add: ("add", "iadd"),
    ast.Sub: ("sub", "subtract", "isub"),
    ast.Mult: ("mul", "multiply", "imul"),
    ast.Div: ("div", "divide", "true_divide", "itruediv", "idiv"),
    ast.FloorDiv: ("floor_divide", "ifloordiv"),
    ast.Mod: ("remainder", "fmod", "imod"),
    ast.Pow: ("pow", "ipow"),
    ast.BitAnd: ("bitwise_and", "logical_and", "iand"),
    ast.BitOr: ("bitwise_or", "logical_or", "ior"),
    ast.BitXor: ("bitwise_xor", "logical_xor", "ixor"),
    ast.LShift: ("bitwise_left_shift", "ilshift"),
    ast.RShift: ("bitwise_right_shift", "irshift"),
    ast.MatMult: ("matmul", "imatmul"),
}
"""The functions of torch, without underscores, that `x += y` and its like become."""

MEANT = {
    "copy_", "fill_", "zero_", "set_", "resize_", "resize_as_", "requires_grad_", "detach_", "share_memory_",
    "__setitem__", "normal_", "uniform_", "random_", "bernoulli_", "exponential_", "geometric_", "cauchy_",
    "log_normal_",
}  # fmt: skip
"""Functions that nobody calls but to change a tensor, whose old values they do not use."""

STRAIGHT_THROUGH = {*MEANT, "round_", "sign_", "floor_", "ceil_", "trunc_", "sgn_", "heaviside_"}
"""Who writes these past autograd wants the gradient of what was there before: their own is zero."""

WIDEST = 60
"""Characters of an expression that are quoted; a longer one is cut in the middle."""


def line_of(file: str | None, line: int | None) -> str:
    """Return a line without its indent; empty where its text is not there, or is known not to be what runs."""
    return linecache.getline(file, line).strip() if file and line and parsed(file) is not None else ""


@lru_cache(maxsize=4096)
def statements_at(file: str | None, line: int | None) -> tuple[ast.stmt, ...]:
    """Return the statements that a line is part of, the outermost first; none where the source cannot be read."""
    tree = parsed(file) if file else None
    return () if tree is None or line is None else tuple(_statements_in(tree, line))


def _statements_in(node: ast.AST, line: int) -> Iterator[ast.stmt]:
    for part in ast.iter_child_nodes(node):
        is_there = isinstance(part, ast.stmt) and _holds(part, line)
        if isinstance(part, ast.stmt) and is_there:
            yield part
        if is_there or isinstance(part, (ast.ExceptHandler, ast.match_case)):
            yield from _statements_in(part, line)


@lru_cache(maxsize=4096)
def statement_at(file: str | None, line: int | None, part: ast.AST | None = None) -> ast.stmt | None:
    """Return the innermost statement that a line is part of; None where the source cannot be read.

    `part`: of several on one line, the one that has this part.
    """
    found = statements_at(file, line)
    if part is not None:
        found = tuple(one for one in found if any(each is part for each in ast.walk(one))) or found
    return found[-1] if found else None


def calls_in(node: ast.AST, name: str) -> Iterator[ast.Call]:
    """Yield the calls of a function or method of that name: `opt.step()` for `step`."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and called(part) == name:
            yield part


def called(call: ast.Call) -> str:
    """Return the last name of what is called: `step` of `opt.step()`; empty where it has none."""
    return str(getattr(call.func, "attr", getattr(call.func, "id", "")))


def is_sign_of(statement: ast.AugAssign, name: str) -> bool:
    """Return whether a function of torch is what `x += y` becomes: PyTorch calls that by the method's name, add_."""
    return name.strip("_") in AUGMENTED.get(type(statement.op), ())


def value_of(node: ast.AST, frame: FrameType) -> object:
    """Return the value of a variable, or of an attribute of one, without running anything; else None."""
    if isinstance(node, ast.Name):
        return frame.f_locals.get(node.id, frame.f_globals.get(node.id))
    if isinstance(node, ast.Attribute):
        return getattr(value_of(node.value, frame), "__dict__", {}).get(node.attr)
    return None


def root(node: ast.AST) -> str | None:
    """Return the variable that an expression starts from: `x` of `x[0].t().mul_(2)`; None if there is none."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call, ast.Starred)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


@lru_cache(maxsize=64)
def imported(file: str | None) -> frozenset[str]:
    """Return the names that a file's imports bind: `F` of `import torch.nn.functional as F`."""
    tree = parsed(file) if file else None
    found = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))] if tree else []
    return frozenset(alias.asname or alias.name.partition(".")[0] for node in found for alias in node.names)


def text_of(node: ast.AST) -> str:
    """Return the source of a node in one line, as `ast.unparse` gives it, cut in the middle where it is long."""
    text = " ".join(ast.unparse(node).split())
    half = WIDEST // 2 - 3
    return text if len(text) <= WIDEST else f"{text[:half]} ... {text[-half:]}"


def parsed(file: str) -> ast.Module | None:
    """Return the syntax tree of a file or of a notebook's cell.

    None where its text is not there, is no Python, or is known not to be what runs (`is_what_runs`).
    """
    return None if file in _edited else _tree(file)


@cache  # not a bounded one: whoever holds a part of the tree looks for what is around it
def _tree(file: str) -> ast.Module | None:
    text = _text(file)
    try:
        return ast.parse(text) if text else None
    except (SyntaxError, ValueError):
        return None


_ANY_TEXT = ("<string>", "<stdin>")
"""Names that code from many texts has; Python 3.13 keeps the text of `python -c` under the first."""
_NOTHING = ("NOP", "CACHE", "EXTENDED_ARG")
"""Instructions that two compilations of one function may differ in."""

_edited: set[str] = set()
"""Files with a text that is not what runs."""
_known: dict[int, tuple[CodeType, bool]] = {}
"""Code by its `id`, with whether its file's text is what runs."""


def is_edited(file: str | None) -> bool:
    """Return whether code that ran is not in its file's text: mostly the file was edited after its import."""
    return file in _edited


def is_what_runs(code: CodeType) -> bool:
    """Return whether the text of a code's file is what that code was made of; False where there is no text.

    Where it is not, the file is taken as one without a text from then on.
    """
    known = _known.get(id(code))
    if known is None:
        known = _known[id(code)] = code, _is_of_its_text(code)
    return known[1]


def _is_of_its_text(code: CodeType) -> bool:
    file = code.co_filename
    cached = linecache.cache.get(file)
    if not file.startswith("<") and cached is not None and len(cached) > 1 and cached[1] is None:
        return True  # a notebook's cell: no other text gets its name
    others = [other for other in _compiled(file) if other.co_qualname == code.co_qualname]
    if others and _instructions(code) in map(_instructions, others):
        if file in _edited:  # it was imported anew; what is of another text is found out again where it runs
            _edited.remove(file)
            for other in [other for other, same in _known.values() if other.co_filename == file and not same]:
                del _known[id(other)]
            _forget()
        return True
    before = _text(file)
    linecache.checkcache(file)
    _forget()
    if _text(file) != before:
        return _is_of_its_text(code)
    if before:
        _edited.add(file)
    return False


def _forget() -> None:
    for known in (_tree, _compiled, _asserted, statements_at, statement_at, imported, _evaluated):
        known.cache_clear()


def _text(file: str) -> str:
    return "" if file in _ANY_TEXT else "".join(linecache.getlines(file))


@lru_cache(maxsize=64)
def _compiled(file: str) -> tuple[CodeType, ...]:
    """Return all the code that a file's text compiles to, whole and, as in a REPL, statement by statement."""
    tree = _tree(file)
    if tree is None:
        return ()
    whole: list[ast.Module | ast.Interactive] = [tree]
    whole += [ast.Interactive([statement]) for statement in tree.body] if file.startswith("<") else []
    found = [compile(each, file, "exec" if each is tree else "single", dont_inherit=True) for each in whole]
    for code in found:
        found += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return tuple(found)


@lru_cache(maxsize=64)
def _asserted(file: str) -> frozenset[int]:
    """Return the lines of a file's `assert` statements: pytest rewrites those, and leaves what is around them."""
    tree = _tree(file)
    asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)] if tree is not None else []
    return frozenset(line for node in asserts for line in range(node.lineno, (node.end_lineno or node.lineno) + 1))


def _instructions(code: CodeType) -> list[object]:
    """Return what code does outside of its assertions, and where; whatever flags it was compiled with."""
    found: list[object] = []
    asserted = _asserted(code.co_filename)
    for each in dis.get_instructions(code):
        line = each.positions.lineno if each.positions is not None else None
        if line is not None and line not in asserted and each.opname not in _NOTHING:
            is_value = each.opname == "LOAD_CONST" and type(each.argval) is not CodeType
            is_value |= isinstance(each.argval, str)
            found.append((each.opname, is_value and (type(each.argval), each.argval), each.positions))
    return found


def _holds(node: ast.stmt, line: int) -> bool:
    first = min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))
    return bool(first <= line <= (node.end_lineno or node.lineno))


def expression_at(code: CodeType, instruction: int) -> ast.AST | None:
    """Return the expression or statement that an instruction of the user's code evaluates; None where nobody can tell.

    `instruction` is a frame's `f_lasti`, in bytes.
    """
    return _evaluated(code, code.co_filename, instruction)


@lru_cache(maxsize=4096)
def _evaluated(code: CodeType, file: str, instruction: int) -> ast.AST | None:
    # Python holds code of two files for equal, so that the file has to be named too.
    line, last, column, end = next(islice(code.co_positions(), max(instruction // 2, 0), None), (None,) * 4)
    for node in (part for statement in reversed(statements_at(file, line)) for part in ast.walk(statement)):
        # A statement that is a call has the place of the call.
        if not isinstance(node, (ast.expr, ast.stmt)) or isinstance(node, ast.Expr):
            continue
        starts = [(node.lineno, node.col_offset)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.end_col_offset is not None:
            # So Python tells of a method on a line of its own.
            name_begins = node.func.end_col_offset - len(node.func.attr.encode())
            starts.append((node.func.end_lineno or 0, name_begins))
        if (line, column) in starts and (last, end) == (node.end_lineno, node.end_col_offset):
            return node
    return None
