"""What a target names, and what a user is told of one that names nothing that runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relu_demo.errors import BadInput
from relu_demo.machine.imports import import_file
from relu_demo.script.target import Function, Module, Script, find, function_in

FILES = {
    "train.py": "import sys; sys.exit('was run')",
    "tool": "print(1)",
    "bad.py": "x = 1\ndef f(:\n",
    "nul.py": "x = '\0'",
    "pkg/__init__.py": "raise RuntimeError('was run')",
    "pkg/fit.py": "",
    "pkg/broken.py": "\n\nreturn (\n",
    "app/__init__.py": "",
    "app/__main__.py": "",
    "loose/inner.py": "",
    "loose/deep/__main__.py": "",
    "steps.py": """
def step(): return 3
def wants(x, *, y): ...
def optional(x=1, *more, **named): return 4
async def later(): ...
def items(): yield 1
number = 3
class Trainer:
    def step(self): ...
    @classmethod
    def fit(cls): return 5
    def __init__(self, lr): ...
""",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    monkeypatch.chdir(tmp_path)
    path, modules = sys.path[:], set(sys.modules)
    yield tmp_path
    assert sys.path == path
    assert set(sys.modules) - modules <= {"steps"}
    sys.modules.pop("steps", None)


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("train.py", Script("train.py", FILES["train.py"].encode())),
        ("./tool", Script("./tool", b"print(1)")),
        ("tool", Script("tool", b"print(1)")),
        ("train", Module("train")),
        ("pkg.fit", Module("pkg.fit")),
        ("app", Module("app")),
        ("loose.inner", Module("loose.inner")),
        ("loose.deep", Module("loose.deep")),
        ("json.tool", Module("json.tool")),
        ("steps.py:step", Function("steps.py", "step")),
        ("steps:Trainer.fit", Function("steps", "Trainer.fit")),
        ("pkg.fit:main", Function("pkg.fit", "main")),
    ],
)
def test_what_a_target_names(target: str, found: object) -> None:
    assert find(target) == found


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("", "'' names no script; give train.py, package.module or my_file.py:step"),
        ("trian.py", "there is no file trian.py; did you mean train.py?"),
        ("nowhere/train.py", "there is no file nowhere/train.py"),
        ("TRAIN.py", "there is no file TRAIN.py; did you mean train.py?"),
        ("trian", "there is no module 'trian'; did you mean train?"),
        ("pkg.fti", "there is no module 'pkg.fti'; did you mean pkg.fit?"),
        ("pkg.fit.x", "there is no module 'pkg.fit.x'"),
        (".fit", "there is no file .fit; there are bad.py, nul.py, steps.py, train.py"),
        ("pkg", "pkg is a package without __main__; it has pkg.broken, pkg.fit"),
        ("loose", "loose is a folder; give train.py, package.module or my_file.py:step"),
        ("./app", "app is a folder; give app/__main__.py"),
        ("./loose/", "loose is a folder; give train.py, package.module or my_file.py:step"),
        ("bad.py", "a syntax error in bad.py:2 (invalid syntax); correct it first"),
        ("bad.py:f", "a syntax error in bad.py:2 (invalid syntax); correct it first"),
        ("steps.py::step", "'steps.py::step' names no function; give it as steps.py:step"),
        ("steps.py:", "'steps.py:' names no function; give it as steps.py:step"),
        ("steps.py:12", "'steps.py:12' names no function; give it as steps.py:step"),
        ("steps.py:fit()", "'steps.py:fit()' names no function; give it as steps.py:fit"),
        (":step", "':step' names no function; give it as my_file.py:step"),
        ("stesp.py:step", "there is no file stesp.py; did you mean steps.py?"),
        ("stesp:step", "there is no module 'stesp'; did you mean steps?"),
        ("loose:step", None),
        ("sys", "sys is no Python source, which the watch needs; give train.py, package.module or my_file.py:step"),
    ],
)
def test_what_names_nothing_that_runs(target: str, says: str | None) -> None:
    if says is None:  # a folder is a package, whatever is in it
        assert find(target) == Function("loose", "step")
        return
    with pytest.raises(BadInput) as told:
        find(target)
    assert str(told.value) == says


def test_a_syntax_error_of_a_module() -> None:
    with pytest.raises(BadInput, match=r"a syntax error in .*broken\.py:3 \("):
        find("pkg.broken")


def test_a_file_that_is_no_text() -> None:
    with pytest.raises(BadInput, match=r"null bytes"):
        find("nul.py")


@pytest.mark.parametrize(("name", "gives"), [("step", 3), ("optional", 4), ("Trainer.fit", 5)])
def test_a_function_is_found(name: str, gives: int) -> None:
    assert function_in(import_file(Path("steps.py")), Function("steps.py", name))() == gives


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("stpe", "steps.py has no 'stpe'; did you mean step?"),
        ("Trainer.fti", "steps.py has no 'Trainer.fti'; did you mean fit?"),
        ("number", "number in steps.py is no function but int"),
        ("wants", "wants cannot be called without arguments (missing a required argument: 'x')"),
        ("Trainer", "Trainer cannot be called without arguments (missing a required argument: 'lr')"),
        ("Trainer.step", "Trainer.step cannot be called without arguments (missing a required argument: 'self')"),
        ("later", "a call of later runs nothing yet, it is async or a generator; give a function that runs it"),
        ("items", "a call of items runs nothing yet, it is async or a generator; give a function that runs it"),
    ],
)
def test_what_is_no_function_to_call(name: str, says: str) -> None:
    with pytest.raises(BadInput) as told:
        function_in(import_file(Path("steps.py")), Function("steps.py", name))
    assert str(told.value).startswith(says)
