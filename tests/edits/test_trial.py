"""A program from edited sources: each way of starting one runs the edited text, and no file is changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import ROOT

BEGIN = """
import json, os, sys
sys.path.insert(0, {root!r})
from relu_demo.edits.trial import serve
serve({{path: text.encode() for path, text in json.loads({texts!r}).items()}})
"""
TELL = "import sys, helper; print('old', helper.NAME, __name__, __spec__ and __spec__.name, sys.argv, sys.path[0])\n"
"""What a script says of itself: all but the first word is as without a trial."""


def started(folder: Path, arguments: list[str], texts: dict[Path, str] | None = None) -> str:
    """What a program prints, with the sources of its files edited from a sitecustomize if there are some."""
    begin = folder / "begin"
    begin.mkdir(exist_ok=True)
    given = json.dumps({str(path.resolve()): text for path, text in (texts or {}).items()})
    (begin / "sitecustomize.py").write_text(BEGIN.format(root=str(ROOT), texts=given) if texts else "")
    environment = {"PYTHONPATH": f"{begin}", "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    ran = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    return ran.stdout + ran.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    (tmp_path / "helper.py").write_text("NAME = 'old'\n")
    (tmp_path / "below" / "helper.py").write_text("NAME = 'old'\n")
    (tmp_path / "train.py").write_text(TELL)
    (tmp_path / "below" / "train.py").write_text(TELL)
    return tmp_path


STARTS = {
    "a script": ["train.py", "--lr", "1"],
    "a script in a folder": ["below/train.py"],
    "a module": ["-m", "train", "x"],
    "a module in a package": ["-m", "below.train"],
    "an import": ["-c", "import train"],
    "runpy": ["-c", "import runpy; runpy.run_path('train.py', run_name='__main__')"],
    "a reload": ["-c", "import train, importlib; importlib.reload(train)"],
}


@pytest.mark.parametrize("arguments", STARTS.values(), ids=STARTS)
def test_the_edited_text_runs_in_its_own_surroundings(arguments: list[str], folder: Path) -> None:
    plain = started(folder, arguments)
    plain = started(folder, arguments)  # now there is bytecode
    assert "old old" in plain
    files = {path: path.read_text().replace("old", "new") for path in folder.rglob("[ht]*.py")}
    before = {path: path.read_bytes() for path in folder.rglob("*.py*") if "begin" not in path.parts}
    assert started(folder, arguments, files) == plain.replace("old", "new")
    assert {path: path.read_bytes() for path in before} == before
    assert started(folder, arguments) == plain


def test_functions_of_the_script_reach_processes_that_are_spawned(folder: Path) -> None:
    script = folder / "train.py"
    script.write_text("""
import multiprocessing
def double(x): return x * 2
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(double, [1, 2]), double(3))
""")
    assert started(folder, ["train.py"], {script: script.read_text().replace("* 2", "* 3")}) == "[3, 6] 9\n"


def test_a_traceback_and_inspect_show_the_edited_lines(folder: Path) -> None:
    script = folder / "train.py"
    script.write_text("import inspect\ndef f(): return 1\nprint(inspect.getsource(f), f())\nraise ValueError\n")
    said = started(folder, ["train.py"], {script: script.read_text().replace("return 1", "return 2  # new")})
    assert said.startswith("def f(): return 2  # new\n 2\n")
    assert 'train.py", line 4, in <module>\n    raise ValueError\nValueError' in said
