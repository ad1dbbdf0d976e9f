"""A watched program runs as Python runs it: the same output to the byte, and the same exit code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import ROOT
from support.programs import PROGRAMS, Program, script

STEERING = {"PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE", "PYTHONSAFEPATH"}
WATCH = ["-m", "relu_demo", "watch", "--save"]


def written(program: Program, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, text in program.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    return folder


def plain(program: Program, folder: Path) -> subprocess.Popen[bytes]:
    """The program as a process, run by Python itself, with both outputs in one pipe."""
    return started(program, folder, [*program.flags, *_words(program)])


def watched(program: Program, folder: Path) -> subprocess.Popen[bytes]:
    """The program under watch, with the report in a file. Where it has flags of Python's, they stand in the command."""
    how = [sys.executable, *program.flags] if program.flags else []
    return started(program, folder, [*WATCH, str(folder.parent / "report.json"), *how, *_words(program)])


def _words(program: Program) -> list[str]:
    return [*(["-m"] if program.is_module else []), program.target, *program.arguments]


def started(program: Program, folder: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name not in STEERING}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **program.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ended(process: subprocess.Popen[bytes], stdin: str = "") -> tuple[int, str]:
    out, _ = process.communicate(stdin.encode(), timeout=60)
    # Two processes have no id in common, nor the time that unittest took.
    without_ids = re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", out.decode(errors="backslashreplace"))
    return process.returncode, re.sub(r"in \d+\.\d{3}s", "in TIME", without_ids)


def code_of(code: int) -> int:
    """The exit code under watch: a shell's where a signal ended the program, and 3 where no torch was imported."""
    return 128 - code if code < 0 else code or 3


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if at % 6 else []) for at, name in enumerate(PROGRAMS)],
)
def test_as_python_runs_it(name: str, tmp_path: Path) -> None:
    program = PROGRAMS[name]
    # Both in a folder of one name, for its path is printed.
    first, second = (written(program, tmp_path / one / "work") for one in ("a", "b"))
    alone, driven = plain(program, first), watched(program, second)
    alone_code, alone_out = ended(alone, program.stdin)
    code, out = ended(driven, program.stdin)
    assert out.replace(str(second), "FOLDER") == alone_out.replace(str(first), "FOLDER")
    assert code == code_of(alone_code)
    assert (second.parent / "report.json").exists()


def test_the_streams_stay_apart(tmp_path: Path) -> None:
    folder = written(script("import sys\nprint('out')\nsys.stderr.write('err')\n1 / 0"), tmp_path / "work")
    alone, driven = (
        subprocess.run(
            [sys.executable, *how, "main.py"],
            cwd=folder,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for how in ([], [*WATCH, str(tmp_path / "report.json"), sys.executable])
    )
    assert (driven.returncode, driven.stdout, driven.stderr) == (1, b"out\n", alone.stderr)
    assert (alone.returncode, alone.stdout) == (1, b"out\n")


FUNCTIONS = """
import sys
print(__name__, __import__("__main__").__name__, sys.argv[1:], __import__("neighbour").x)
def step():
    print("step runs")
def fails():
    return 1 / 0
class Trainer:
    @staticmethod
    def step():
        print("method runs")
"""


@pytest.mark.parametrize(
    ("target", "out"),
    [
        ("work/my_file.py:step", "my_file __main__ ['1'] 2\nstep runs\n"),
        ("work/my_file.py:Trainer.step", "my_file __main__ ['1'] 2\nmethod runs\n"),
        ("work/my_file.py:Trainer", "my_file __main__ ['1'] 2\n"),
    ],
)
def test_a_function(target: str, out: str, tmp_path: Path) -> None:
    written(Program({"my_file.py": FUNCTIONS, "neighbour.py": "x = 2"}), tmp_path / "work")
    assert ended(function(tmp_path, target, "1")) == (3, out)


def function(folder: Path, target: str, *arguments: str) -> subprocess.Popen[bytes]:
    return started(Program({}), folder, [*WATCH, str(folder.parent / "report.json"), target, *arguments])


@pytest.mark.parametrize(
    ("file", "target", "where"),
    [
        (FUNCTIONS, "my_file:fails", "line 7, in fails"),
        ("import nowhere_at_all\ndef step(): pass", "my_file.py:step", "line 1, in <module>"),
    ],
)
def test_a_function_that_fails_has_the_traceback_of_the_users_code(
    file: str, target: str, where: str, tmp_path: Path
) -> None:
    folder = written(Program({"my_file.py": file, "neighbour.py": "x = 2"}), tmp_path / "work")
    code, out = ended(function(folder, target))
    assert code == 1
    assert re.findall("^  File .*", out, re.MULTILINE) == [f'  File "{folder}/my_file.py", {where}']
