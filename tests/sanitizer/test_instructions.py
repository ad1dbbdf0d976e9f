"""The node of the source that an instruction evaluates: by what Python tells, and by compiling the source again."""

from __future__ import annotations

import ast
import dis
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from relu_demo.sanitizer.instructions import node_at
from relu_demo.sanitizer.source import expression_at, parsed

CASES = sorted((Path(__file__).parents[1] / "watching/cases").glob("*.py"))

SOURCE = """
def run(x, f):
    y = x * 2 + f(x)
    y += (x
          @ y)
    z = x.method(y)[0] if x > y else -x
    return [f(part) for part in (x, y)] + [(lambda part: part.method(x))(y)]
"""
EVALUATED = """
x * 2
f(x)
x * 2 + f(x)
x @ y
y += x @ y
x > y
x.method(y)
x.method(y)[0]
f(part)
f(part)
part.method(x)
"""


NOWHERE = "not found"


def text(node: ast.AST | None) -> str:
    return NOWHERE if node is None else ast.unparse(node)


class Probe:
    """Notes for each operation on it which node of the source its caller evaluates, in both ways."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def method(self, *operands: object) -> Probe:
        caller = sys._getframe(1)
        tree = parsed(caller.f_code.co_filename)
        assert tree is not None
        both = node_at(caller.f_code, caller.f_lasti, tree), expression_at(caller.f_code, caller.f_lasti)
        self.seen.append((text(both[0]), text(both[1])))
        return self

    __mul__ = __add__ = __matmul__ = __iadd__ = __gt__ = __getitem__ = __call__ = method


def test_each_operation_is_found_in_the_line_that_runs(tmp_path: Path) -> None:
    file = tmp_path / "evaluated.py"
    file.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("evaluated", file)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    probe = Probe()
    module.run(probe, probe)
    wanted = EVALUATED.split("\n")[1:-1]
    assert [told for _, told in probe.seen] == wanted
    # From Python 3.13 on the instructions themselves depend on lines: two that load variables of one line are one.
    none_allowed = {NOWHERE} if sys.version_info >= (3, 13) else set()
    assert all(again in {told} | none_allowed for again, told in probe.seen)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 does not tell the place of an instruction")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_is_found_by_compiling_again_is_what_python_tells(path: Path) -> None:
    tree = parsed(str(path))
    assert tree is not None
    for code in codes_in(compile(path.read_text(), str(path), "exec")):
        for instruction in dis.get_instructions(code):
            found = node_at(code, instruction.offset, tree) if instruction.opname.startswith(("BIN", "CALL")) else None
            # Python 3.11 stores to several names in another order where they are on several lines.
            assert found in (None, expression_at(code, instruction.offset))


def codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_in(constant)


def test_code_of_another_source_is_nowhere_in_it() -> None:
    tree = ast.parse("def run(x):\n    return x - 1")
    _, function = codes_in(compile("def run(x):\n    return x + 1 + 2", "", "exec"))
    assert node_at(function, 0, tree) is None
