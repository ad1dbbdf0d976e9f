"""What a target names, and what a user is told of one that names nothing. No file of the user's is run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relu_demo.cli.targets import command_of, find_network, public_names
from relu_demo.errors import BadInput

FILES = {
    "train.py": "import sys; sys.exit('was run')",
    "tool": "print(1)",
    "hello": "#!/bin/sh\necho hello\n",
    "words.txt": "x = 1",
    "lesson.ipynb": "{}",
    "bad.py": "x = 1\ndef f(:\n",
    "pkg/__init__.py": "raise RuntimeError('was run')",
    "pkg/fit.py": "def main(): ...\ndef train(rate): ...\n",
    "app/__init__.py": "",
    "app/__main__.py": "",
    "steps.py": "def step(): return 3\n",
    "models.py": """
raise SystemExit("was run")
class Block(nn.Module):
    def forward(self, x): ...
class Head(Block):
    def forward(self, x): ...
class Scale(torch.autograd.Function):
    def forward(ctx, x): ...
class Net(torch.nn.Module):
    def __init__(self):
        self.parts = Block(), Head()
class Data:
    def load(self): ...
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


PYTHON = sys.executable


@pytest.mark.parametrize(
    "words",
    [
        ("train.py", "--epochs", "1"),
        ("bad.py",),
        ("./tool",),
        ("tool", "x"),
        ("words.txt",),
        ("app",),
        ("-m", "pkg.fit", "-m", "x"),
    ],
    ids=str,
)
def test_what_python_runs(words: tuple[str, ...]) -> None:
    assert command_of(words) == [PYTHON, *words]


@pytest.mark.skipif(os.name != "posix", reason="what can be executed has another form there")
def test_any_other_command_line_is_a_command(folder: Path) -> None:
    assert command_of(("fancytool", "train.py")) == [str(folder / "bin" / "fancytool"), "train.py"]
    assert command_of(("./hello",)) == ["./hello"]
    python = Path(sys.executable).name  # not on PATH, but in the environment of this command
    assert command_of((python, "train.py")) == [str(Path(sys.executable)), "train.py"]


@pytest.mark.parametrize(
    ("target", "inside", "call"),
    [
        ("steps.py:step", "", ["steps.py", "step"]),
        ("steps:Trainer.fit", "", ["steps", "Trainer.fit"]),
        ("pkg/fit.py:main", "pkg", ["pkg/fit.py", "main"]),
        ("bad.py:f", "", ["bad.py", "f"]),
    ],
)
def test_a_function_is_called_in_its_folder(folder: Path, target: str, inside: str, call: list[str]) -> None:
    python, script, *words = command_of((target, "x"))
    assert (python, Path(script).name) == (PYTHON, "call.py")
    assert words == [str((folder / inside).resolve()), *call, "x"]


GIVE = "give train.py, -m package.module, my_file.py:step or a command line"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("",), f"'' names no program; {GIVE}"),
        (("trian.py", "-q"), "there is no file trian.py; did you mean train.py"),
        (("nowhere/train.py",), "there is no file nowhere/train.py"),
        (("TRAIN.py",), "there is no file TRAIN.py; did you mean train.py"),
        (("trian",), "there is no command 'trian'; did you mean train.py"),
        (("lesson.ipynb",), "lesson.ipynb is a notebook; give jupyter nbconvert --to notebook --execute lesson.ipynb"),
        (("steps.py::step",), "'steps.py::step' names no function; give it as steps.py:step"),
        (("steps.py:",), "'steps.py:' names no function; give it as steps.py:step"),
        (("steps.py:12",), "'steps.py:12' names no function; give it as steps.py:step"),
        (("steps.py:fit()",), "'steps.py:fit()' names no function; give it as steps.py:fit"),
        ((":step",), "':step' names no function; give it as my_file.py:step"),
        (("stesp.py:step",), "there is no file stesp.py; did you mean steps.py?"),
    ],
    ids=str,
)
def test_what_is_no_program(words: tuple[str, ...], says: str) -> None:
    with pytest.raises(BadInput) as told:
        command_of(words)
    assert str(told.value).startswith(says)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("models.py", "models.py has Block, Head, Net; give for example relu-demo check models.py:Net --shape 1,3,8,8"),
        ("models.py:", "models.py has Block, Head, Net; give for example"),
        ("models", "models has Block, Head, Net; give for example relu-demo check models:Net --shape 1,3,8,8"),
        ("made.py", "made.py has net, build; give for example relu-demo check made.py:build --shape 1,3,8,8"),
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
    assert public_names("models.py") == ["Block", "Head", "Scale", "Net", "Data"]
    assert public_names("made.py") == ["net", "build"]
    assert public_names("bad.py") == public_names("missing.py") == []
