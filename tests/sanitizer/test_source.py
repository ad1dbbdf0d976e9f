"""The text of a file is evidence only if it is what runs."""

from __future__ import annotations

import ast
import importlib.util
import linecache
import sys
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest
import torch

from relu_demo.api import check
from relu_demo.sanitizer.source import is_edited, is_what_runs, parsed, text_of

NETWORK = """import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
    def forward(self, x):
        y = self.fc(x)
        h = y
        h += 1
        y.mul_(2)
        return h + y
"""

EDITS = {
    "the same": NETWORK,
    "two lines above": f"# a\n# b\n{NETWORK}",
    "one line above": f"# a\n{NETWORK}",
    "put right": NETWORK.replace("h += 1", "h = h + 1"),
    "no Python": "def (",
    "emptied": "",
    "deleted": None,
}


def imported(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_of(network: Any) -> CodeType:
    code: CodeType = network.forward.__code__
    return code


@pytest.mark.parametrize("edit", EDITS)
def test_a_file_that_was_edited_after_its_import(edit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, new = tmp_path / "edited.py", EDITS[edit]
    path.write_text(NETWORK)
    network = imported(path, monkeypatch).Net()
    if new is None:
        path.unlink()
    else:
        path.write_text(new)
    report = check(network, torch.randn(4, 4))
    (call,) = report.calls
    assert (call.place.line, [effect.kind for effect in call.effects]) == (10, ["changes-result"])
    assert call.cure
    assert call.cure.says == ("write out of place" if edit == "the same" else "write it out of place")
    assert is_what_runs(code_of(network)) is (edit == "the same")
    why = f"{path} is not what runs: it was edited since its import, so its lines were not read"
    assert [each.why for each in report.unseen] == ([] if new in (NETWORK, "", None) else [why])


def test_a_file_that_is_imported_anew_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "anew.py"
    path.write_text(NETWORK)
    old = imported(path, monkeypatch).Net()
    path.write_text(f"# a line more\n{NETWORK}")
    assert not is_what_runs(code_of(old))
    assert parsed(str(path)) is None
    new = imported(path, monkeypatch).Net()
    assert is_what_runs(code_of(new))
    assert parsed(str(path)) is not None
    path.write_text(f"# another\n# line\n{NETWORK}")
    newest = imported(path, monkeypatch).Net()
    assert is_what_runs(code_of(newest))
    assert not is_edited(str(path))


def test_the_name_of_many_texts_is_no_file() -> None:
    names: dict[str, Any] = {}
    # Python 3.13 keeps the text of `python -c` so, and code of other texts has that name, too.
    linecache.cache["<string>"] = (9, None, ["x = 1\n", "y = 2\n"], "<string>")
    try:
        exec("def forward(x):\n    return x + 1\n", names)
        assert not is_what_runs(names["forward"].__code__)
        assert parsed("<string>") is None
        assert not is_edited("<string>")
    finally:
        del linecache.cache["<string>"]


def test_what_pytest_has_rewritten_is_what_runs() -> None:
    def with_an_assertion(x: int) -> int:
        assert x > 0, "rewritten"
        return x + 1

    assert is_what_runs(with_an_assertion.__code__)
    assert is_what_runs((lambda x: x + 1).__code__)
    assert is_what_runs(imported.__code__)


def test_a_long_expression_is_cut_in_the_middle() -> None:
    text = f"loss({', '.join(f'value_{n}' for n in range(20))})"
    assert text_of(ast.parse(text)) == "loss(value_0, value_1, valu ... lue_17, value_18, value_19)"
    assert text_of(ast.parse(short := f"loss({'x' * 54})")) == short


def test_a_cell_of_a_notebook_keeps_its_text() -> None:
    name, text = "/nowhere/ipykernel_1/2.py", "y = 1\ndef forward(x):\n    return x + y\n"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    names: dict[str, Any] = {}
    exec(compile(text, name, "exec"), names)
    assert is_what_runs(names["forward"].__code__)
    assert parsed(name) is not None
