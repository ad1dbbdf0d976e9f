"""`watch` at the command line: the user's program runs as it would without, and what was found stands below it."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import torch
from rich.console import Console
from support.commands import COMMAND, schema
from support.processes import command_environment

import relu_demo
from relu_demo.views.one_line import write_patch

pytestmark = pytest.mark.skipif(torch.__version__ < "2.6", reason="watching takes PyTorch 2.6")

OVERWRITES = """\
import linecache, sys
import torch

print("given", sys.argv[1:])
x = torch.ones(3, requires_grad=True)
y = x.exp()
y += 1
y.sum().backward()
"""


def run(folder: Path, *arguments: str, command: list[str] = COMMAND) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=command_environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(OVERWRITES)
    return tmp_path


def test_both_lines_stand_below_the_programs_own_traceback(folder: Path) -> None:
    done = run(folder, "watch", "train.py", "--epochs", "1")
    assert done.returncode == 1
    assert done.stdout == "given ['--epochs', '1']\n"
    traceback, _, told = done.stderr.partition("\ntrain.py:8  ")
    frames = [line.strip() for line in traceback.splitlines() if line.startswith("  File ")]
    assert frames[0] == f'File "{folder}/train.py", line 8, in <module>'
    assert all("/torch/" in frame for frame in frames[1:])
    assert told.startswith("y.sum().backward() raises: a tensor that it needs was overwritten\n")
    assert "saved        train.py:6  y = x.exp()" in told
    assert "overwritten  train.py:7  y += 1" in told
    assert re.search("^cure         .*[^)]$", told, re.MULTILINE)  # and not that it was tried
    assert told.splitlines()[-1].startswith("1 fault found. Watched: 1 backward pass, ")


@pytest.mark.slow
def test_json_has_standard_output_to_itself(folder: Path) -> None:
    below = "import os, subprocess\nos.write(1, b'direct')\nsubprocess.run(['echo', 'below'])\n"
    (folder / "train.py").write_text(OVERWRITES.replace("y.sum()", f"{below}y.sum()"))
    done = run(folder, "watch", "--json", "train.py", "x")
    document = json.loads(done.stdout)
    jsonschema.validate(document, schema())
    assert all(text in done.stderr for text in ("given ['x']", "direct", "below"))
    assert document["command"] == "relu-demo watch train.py x"
    assert document["request"]["program"] == ["train.py", "x"]
    assert (document["processes"], document["exit_code"]) == (1, 1)
    (found,) = document["findings"]
    assert found["kind"] == "overwritten"
    assert (found["cure"]["works"], found["cure"]["further"]) == (None, 0)
    assert found["saved_by"]["line"] == 6
    (write,) = found["overwritten_by"]
    assert (write["site"]["line"], write["site"]["operation"], write["version"]) == (7, "y += 1", 1)
    assert found["tensors"] == [{"name": "y", "shape": [3], "dtype": "float32", "version": 0}]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["json", "svg"])
def test_the_report_is_saved_to_a_file(folder: Path, ending: str) -> None:
    done = run(folder, "watch", "--save", f"found.{ending}", "train.py")
    assert done.returncode == 1
    text = (folder / f"found.{ending}").read_text(encoding="utf-8")
    if ending == "json":
        jsonschema.validate(json.loads(text), schema())
    assert "y += 1" in text.replace("\xa0", " ")
    assert "fault found" not in done.stderr


def test_a_function_is_called_without_arguments_and_a_module_is_run(folder: Path) -> None:
    (folder / "steps.py").write_text(
        "def step():\n    print('stepped')\n\n\nif __name__ == '__main__':\n    print('run')\n"
    )
    assert run(folder, "watch", "steps.py:step").stdout == "stepped\n"
    wrong = run(folder, "watch", "steps.py:stepp")
    assert wrong.returncode == 2
    assert "relu-demo: steps.py has no 'stepp'; did you mean step?\n" in wrong.stderr
    assert run(folder, "watch", "-m", "steps").stdout == "run\n"
    (folder / "pkg").mkdir()
    (folder / "pkg" / "mod.py").write_text("import sys\nprint(sys.argv[1:])\n")
    done = run(folder, "watch", "--json", "-m", "pkg.mod", "--epochs", "1")
    assert done.returncode == 3
    assert done.stderr == "['--epochs', '1']\n"
    assert json.loads(done.stdout)["request"]["program"] == ["-m", "pkg.mod", "--epochs", "1"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("patch") is None, reason="patch is not installed")
def test_the_patch_of_a_watch_cures_the_program_and_quiet_is_one_line(folder: Path) -> None:
    done = run(folder, "watch", "--diff", "train.py")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line[:1] in "+-"][2:] == ["-y += 1", "+y = y + 1"]
    subprocess.run(["patch", "-p0"], cwd=folder, input=done.stdout, encoding="utf-8", check=True)
    cured = run(folder, "watch", "-q", "train.py", "-q", "--seed", "3")
    assert (cured.returncode, cured.stdout) == (0, "given ['-q', '--seed', '3']\n")
    quiet = [line for line in cured.stderr.splitlines() if line.startswith("relu-demo ")]
    assert quiet == [cured.stderr.splitlines()[-1]]
    assert quiet[0].startswith("relu-demo watch train.py -q --seed 3: Nothing found. Watched: 1 backward pass, ")


CARRIED = """\
import torch

w = torch.ones(3, requires_grad=True)
h = torch.ones(3)
for _ in range(3):
    h = h * w
    h.sum().backward(retain_graph=True)
    with torch.no_grad():
        w -= w.grad
"""


def test_without_an_edit_the_patch_is_empty_and_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text(CARRIED)
    with pytest.raises(relu_demo.InplaceError), relu_demo.watch() as watch:
        runpy.run_path(str(tmp_path / "train.py"))
    write_patch(watch.report, sys.stdout)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "relu-demo: no cure is an edit; the report without --diff says what to do\n"
    (finding,) = watch.report.findings
    failed = dataclasses.replace(finding, cure=dataclasses.replace(finding.cure, works=False))
    write_patch(dataclasses.replace(watch.report, findings=(failed,)), sys.stdout)
    assert "relu-demo: the edits that were tried do not help; the report" in capsys.readouterr().err


TWO = """\
import torch
a = torch.ones(2, requires_grad=True).exp()
b = torch.ones(2, requires_grad=True).exp()
c = a * b
a += 1; b += 1
c.sum().backward()
"""


def test_two_tensors_of_the_same_lines_are_one_fault_with_one_cure(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TWO)
    with pytest.raises(relu_demo.InplaceError), relu_demo.watch() as watch:
        runpy.run_path(str(tmp_path / "train.py"))
    findings = watch.report.findings
    assert f"{len(findings)} faults found" in str(watch.report)
    (both,) = (each for each in findings if each.saved_by and each.saved_by.line == 4)
    assert {tensor.name for tensor in both.tensors} == {"a", "b"}
    assert "+c = a.clone() * b.clone()\n" in (both.cure.diff or "")
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="standard", no_color=False)
    console.print(watch.report)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for row in (
        r"\x1b\[32mcure +\x1b\[0m  save a clone +",
        r"\x1b\[31m- +\x1b\[0m  \x1b\[31mc = a \* b\x1b\[0m +",
        r"\x1b\[32m\+ +\x1b\[0m  \x1b\[32mc = a.clone\(\) \* b.clone\(\)\x1b\[0m +",
        r"\x1b\[31mPyTorch +\x1b\[0m  one of the variables .*",
    ):
        assert re.search(f"^{row}$", shown, re.MULTILINE)


STEP_BY_HAND = """\
import torch

w = torch.zeros(3, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
for _ in range(2):
    (torch.randn(5, 3) @ w + b - 1).square().mean().backward()
    w -= 0.1 * w.grad
    b -= 0.1 * b.grad
    w.grad.zero_()
    b.grad.zero_()
"""


@pytest.mark.slow
def test_what_is_found_only_behind_the_first_fault_is_cured_too(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(STEP_BY_HAND)
    patch = run(tmp_path, "watch", "--try", "--diff", "train.py").stdout
    assert [line for line in patch.splitlines() if line[:1] == "+"][1:] == [
        "+    with torch.no_grad():",
        "+        w -= 0.1 * w.grad",
        "+    with torch.no_grad():",
        "+        b -= 0.1 * b.grad",
    ]


@pytest.mark.slow  # of a cure that helps an example of the README tells
def test_a_cure_with_which_the_program_does_not_run_does_not_help(tmp_path: Path) -> None:
    stays = "y += 1; assert linecache.getline(__file__, 7).startswith('y += 1')"
    program = OVERWRITES.replace("y += 1", stays)
    (tmp_path / "train.py").write_text(program)
    done = run(tmp_path, "watch", "--try", "--json", "train.py")
    assert done.returncode == 1
    assert (tmp_path / "train.py").read_text() == program
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["cure"]["tried"], found["cure"]["works"]) == (True, False)
