"""What a target names, and what a user is told of one that names nothing. No file of the user's is run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relu_demo.cli.targets import Command, Function, Module, Script, find_network, find_program, public_names
from relu_demo.errors import BadInput

FILES = {
    "train.py": "import sys; sys.exit('was run')",
    "tool": "print(1)",
    "hello": "#!/bin/sh\necho hello\n",
    "prog": "#!/usr/bin/env python3\nprint(1)\n",
    "words.txt": "x = 1",
    "lesson.ipynb": "{}",
    "bad.py": "x = 1\ndef f(:\n",
    "pkg/__init__.py": "raise RuntimeError('was run')",
    "pkg/fit.py": "def main(): ...\ndef train(rate): ...\n",
    "app/__init__.py": "",
    "app/__main__.py": "",
    "loose/inner.py": "",
    "loose/deep/__main__.py": "",
    "steps.py": """
import asyncio
from json import dumps
def step(): return 3
def wants(x, *, y): ...
def optional(x=1, *more, **named): return 4
async def later(): ...
def items(): yield 1
@asyncio.coroutine
def decorated(x): ...
number = 3
alias = step
if number:
    def sometimes(): ...
class Trainer:
    def step(self): ...
    @classmethod
    def fit(cls): return 5
    @staticmethod
    def run(): return 6
    def __init__(self, lr): ...
class Plain:
    def __init__(self, lr=1): ...
""",
    "open.py": "globals()['made'] = print\n",
    "gathered.py": "from steps import *\n",
    "models.py": """
raise SystemExit("was run")
class Block(nn.Module):
    def forward(self, x): ...
class Head(Block): ...
class Net(torch.nn.Module):
    def __init__(self):
        self.parts = Block(), Head()
class Data: ...
""",
    "made.py": "net = build(3)\ndef build(depth): ...\n",
    "nothing.py": "x = 1\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    (tmp_path / "hello").chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "fancytool").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "fancytool").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    path, modules = sys.path[:], set(sys.modules)
    yield tmp_path
    assert sys.path == path
    assert set(sys.modules) == modules


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("train.py", "--epochs", "1"), Script("train.py")),
        (("bad.py",), Script("bad.py")),
        (("./tool",), Script("./tool")),
        (("tool", "x"), Script("tool")),
        (("prog",), Script("prog")),
        (("-m", "train"), Module("train")),
        (("-m", "pkg.fit", "-m", "x"), Module("pkg.fit")),
        (("-m", "app"), Module("app")),
        (("-m", "loose.inner"), Module("loose.inner")),
        (("-m", "loose.deep"), Module("loose.deep")),
        (("-m", "json.tool"), Module("json.tool")),
        (("steps.py:step",), Function("steps.py", "step")),
        (("steps.py:optional",), Function("steps.py", "optional")),
        (("steps.py:decorated",), Function("steps.py", "decorated")),
        (("steps.py:alias",), Function("steps.py", "alias")),
        (("steps.py:dumps",), Function("steps.py", "dumps")),
        (("steps.py:sometimes",), Function("steps.py", "sometimes")),
        (("steps.py:Plain",), Function("steps.py", "Plain")),
        (("steps:Trainer.fit",), Function("steps", "Trainer.fit")),
        (("steps:Trainer.run",), Function("steps", "Trainer.run")),
        (("pkg.fit:main",), Function("pkg.fit", "main")),
        (("open.py:made",), Function("open.py", "made")),
        (("gathered.py:step",), Function("gathered.py", "step")),
        (("bad.py:f",), Function("bad.py", "f")),
    ],
    ids=str,
)
def test_what_a_command_line_runs(words: tuple[str, ...], found: object) -> None:
    assert find_program(words) == found


@pytest.mark.skipif(os.name != "posix", reason="what can be executed has another form there")
def test_any_other_command_line_is_a_command() -> None:
    assert find_program(("fancytool", "train.py")) == Command(("fancytool", "train.py"))
    assert find_program(("./hello",)) == Command(("./hello",))
    python = Path(sys.executable).name  # not on PATH, but in the environment of this command
    assert find_program((python, "train.py")) == Command((str(Path(sys.executable)), "train.py"))


def test_a_function_tells_the_folder_that_comes_first(folder: Path) -> None:
    assert Function("pkg/fit.py", "main").folder == str((folder / "pkg").resolve())
    assert Function("pkg.fit", "main").folder == str(folder)


GIVE = "give train.py, -m package.module, my_file.py:step or a command line"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("",), f"'' names no program; {GIVE}"),
        (("trian.py", "-q"), "there is no file trian.py; did you mean train.py"),
        (("nowhere/train.py",), "there is no file nowhere/train.py"),
        (("TRAIN.py",), "there is no file TRAIN.py; did you mean train.py"),
        (("trian",), "there is no command 'trian'; did you mean train.py"),
        (("fancytol",), "there is no command 'fancytol'; did you mean fancytool?"),
        (("train",), "train is a module; give -m train"),
        (("words.txt",), f"words.txt is no Python text and cannot be executed; {GIVE}"),
        (
            ("lesson.ipynb",),
            "lesson.ipynb is a notebook; give jupyter nbconvert --to notebook --execute lesson.ipynb",
        ),
        (("./app",), "app is a folder; give app/__main__.py"),
        (("./loose/",), f"loose is a folder; {GIVE}"),
        (("-m",), "-m takes the name of a module, not ''; give for example -m package.module"),
        (("-m", "train.py"), "-m takes the name of a module, not 'train.py'; give for example -m package.module"),
        (("-m", ".fit"), "-m takes the name of a module, not '.fit'; give for example -m package.module"),
        (("-m", "trian"), "there is no module 'trian'; did you mean train?"),
        (("-m", "pkg.fti"), "there is no module 'pkg.fti'; did you mean pkg.fit?"),
        (("-m", "pkg"), "pkg is a package without __main__; it has pkg.fit"),
        (("steps.py::step",), "'steps.py::step' names no function; give it as steps.py:step"),
        (("steps.py:",), "'steps.py:' names no function; give it as steps.py:step"),
        (("steps.py:12",), "'steps.py:12' names no function; give it as steps.py:step"),
        (("steps.py:fit()",), "'steps.py:fit()' names no function; give it as steps.py:fit"),
        ((":step",), "':step' names no function; give it as my_file.py:step"),
        (("stesp.py:step",), "there is no file stesp.py; did you mean steps.py?"),
        (("stesp:step",), "there is no module 'stesp'; did you mean steps?"),
        (("steps.py:stpe",), "steps.py has no 'stpe'; did you mean step?"),
        (("steps:stpe",), "steps has no 'stpe'; did you mean step?"),
    ],
    ids=str,
)
def test_what_is_no_program(words: tuple[str, ...], says: str) -> None:
    with pytest.raises(BadInput) as told:
        find_program(words)
    assert str(told.value).startswith(says)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("models.py", "models.py has Net, Block, Head; give for example relu-demo check models.py:Net --shape 1,3,8,8"),
        (
            "models.py:",
            "models.py has Net, Block, Head; give for example relu-demo check models.py:Net --shape 1,3,8,8",
        ),
        ("models", "models has Net, Block, Head; give for example relu-demo check models:Net --shape 1,3,8,8"),
        ("made.py", "made.py has net, build; give for example relu-demo check made.py:net --shape 1,3,8,8"),
        ("nothing.py", "nothing.py has no network; give file.py:name or package.module:name"),
        ("bad.py", "bad.py has no network; give file.py:name or package.module:name"),
        ("modles.py", "there is no file modles.py; did you mean models.py"),
        ("modles.py:Net", "there is no file modles.py; did you mean models.py"),
        ("modles.py::Net", "there is no file modles.py; did you mean models.py"),
        ("Net", "'Net' names no network; give file.py:name or package.module:name"),
        ("models.py:Net(", "'models.py:Net(' names no network; give file.py:name or package.module:name"),
    ],
)
def test_what_is_no_network(target: str, says: str) -> None:
    with pytest.raises(BadInput) as told:
        find_network(target)
    assert str(told.value).startswith(says)


@pytest.mark.parametrize(
    "target", ["models.py:Net", "models.py::Net", "models:Net", "made.py:build(3)", "torch.nn:ReLU"]
)
def test_what_may_be_a_network_is_left_to_its_import(target: str) -> None:
    find_network(target)


def test_the_public_names_of_a_file() -> None:
    assert public_names("models.py") == ["Block", "Head", "Net", "Data"]
    assert public_names("made.py") == ["net", "build"]
    assert public_names("bad.py") == public_names("missing.py") == []
