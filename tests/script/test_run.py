"""A program is run as Python runs it: the same output to the byte, and the same exit code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.programs import PROGRAMS, Program, script

DRIVER = str(Path(__file__).parents[1] / "support" / "script_driver.py")
ROOT = str(Path(__file__).parents[2])
STEERING = {"PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE", "PYTHONSAFEPATH"}
SLOW = {name for name in PROGRAMS if name.startswith(("processes spawn", "processes forkserver", "threads after"))}


def written(program: Program, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, text in program.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    return folder


def started(program: Program, folder: Path, driver: str | None = None) -> subprocess.Popen[bytes]:
    """The program as a process, run by Python itself or by a driver, with both outputs in one pipe."""
    how = [driver] if driver else ["-m"] if program.is_module else []
    environment = {name: value for name, value in os.environ.items() if name not in STEERING}
    return subprocess.Popen(
        [sys.executable, *program.flags, *how, program.target, *program.arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": ROOT, "NO_COLOR": "1", **program.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ended(process: subprocess.Popen[bytes], stdin: str = "") -> tuple[int, str]:
    out, _ = process.communicate(stdin.encode(), timeout=60)
    code = 130 if process.returncode == -signal.SIGINT else process.returncode
    # Two processes have no id in common, nor the time that unittest took.
    without_ids = re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", out.decode(errors="backslashreplace"))
    return code, re.sub(r"in \d+\.\d{3}s", "in TIME", without_ids)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW or at % 3 else [])
        for at, name in enumerate(PROGRAMS)
    ],
)
def test_as_python_runs_it(name: str, tmp_path: Path) -> None:
    program = PROGRAMS[name]
    if sys.version_info < program.since:
        pytest.skip("this Python has no such thing")
    # Both in a folder of one name, for its path is printed.
    first, second = (written(program, tmp_path / one / "work") for one in ("a", "b"))
    plain, driven = started(program, first), started(program, second, DRIVER)
    plain_code, plain_out = ended(plain, program.stdin)
    code, out = ended(driven, program.stdin)
    assert out.replace(str(second), "FOLDER") == plain_out.replace(str(first), "FOLDER")
    assert code == plain_code


@pytest.mark.parametrize("unbuffered", [(), ("-u",)])
def test_the_streams_stay_apart(unbuffered: tuple[str, ...], tmp_path: Path) -> None:
    folder = written(script("import sys\nprint('out')\nsys.stderr.write('err')\n1 / 0"), tmp_path / "work")
    plain, driven = (
        subprocess.run(
            [sys.executable, *unbuffered, *how, "main.py"], cwd=folder, capture_output=True, env=environment()
        )
        for how in ([], [DRIVER])
    )
    assert (driven.returncode, driven.stdout, driven.stderr) == (1, b"out\n", plain.stderr)
    assert (plain.returncode, plain.stdout) == (1, b"out\n")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": ROOT}


@pytest.mark.skipif(os.name != "posix", reason="needs a pipe that can be closed at once")
def test_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    folder = written(script("print('x' * 10)"), tmp_path / "work")
    said = []
    for how in ([], [DRIVER]):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, *how, "main.py"], cwd=folder, stdout=write, stderr=subprocess.PIPE, env=environment()
        )
        os.close(write)
        said.append((done.returncode, done.stderr))
    assert said[1] == said[0]
    assert b"BrokenPipeError" in said[0][1]


def test_a_link_to_the_script(tmp_path: Path) -> None:
    folder = written(
        script("import sys, neighbour\nprint(sys.path[0], sys.argv, __file__)", neighbour=""), tmp_path / "work"
    )
    (tmp_path / "linked.py").symlink_to(folder / "main.py")
    plain, driven = (
        subprocess.run([sys.executable, *how, "linked.py"], cwd=tmp_path, capture_output=True, env=environment())
        for how in ([], [DRIVER])
    )
    assert driven == plain or (driven.returncode, driven.stdout, driven.stderr) == (0, plain.stdout, b"")


REPORTS = """
import os, sys
from contextlib import contextmanager
START = os.getcwd()
from relu_demo.script.run import end, run
from relu_demo.script.target import Script

@contextmanager
def watching():
    print("watch begins", flush=True)
    try:
        yield
    finally:
        print("watch ends", sys.exc_info()[0], flush=True)

def above(error):
    import colorsys
    print("above", type(error).__name__, colorsys.rgb_to_hsv(0, 0, 1), sys.argv[0].endswith("report.py"), flush=True)

with open(sys.argv[1], "rb") as file:
    script = Script(sys.argv[1], file.read())
ended = run(script, sys.argv[2:], watching(), above)
import html, shlex
print("report", ended.code, type(ended.error).__name__, ended.interrupted, flush=True)
print(html.escape("<"), shlex.quote("a b"), os.path.samefile(os.getcwd(), START), flush=True)
print(__import__("__main__").ended is ended, flush=True)
end(ended, ended.code + 40)
"""


@pytest.fixture
def report(tmp_path: Path) -> str:
    """A driver that reports, and imports for that what the script has neighbours of the name of."""
    driver = tmp_path / "report.py"
    driver.write_text(REPORTS)
    return str(driver)


def test_a_report_is_made_with_modules_of_its_own(report: str, tmp_path: Path) -> None:
    names = ("html", "shlex", "colorsys")
    source = (
        "import atexit, os, sys, warnings, html, shlex\n"
        "class Loud:\n    def __del__(self):\n        print('deleted', html.mine, flush=True)\n"
        "loud = Loud()\natexit.register(lambda: print('atexit', flush=True))\n"
        "sys.stdout = None\nsys.stdout = sys.__stdout__\nwarnings.simplefilter('error')\nos.chdir('/')\n1 / 0"
    )
    beside = {f"{name}.py": f"print('{name} of the user', flush=True); mine = 1" for name in names}
    program = Program({"main.py": source, **beside})
    code, out = ended(started(program, written(program, tmp_path / "work"), report))
    lines = [line for line in out.splitlines() if not line.startswith(" ")]
    assert lines == [
        "watch begins",
        "html of the user",
        "shlex of the user",
        "above ZeroDivisionError (0.6666666666666666, 1.0, 1) True",
        "Traceback (most recent call last):",
        "ZeroDivisionError: division by zero",
        "atexit",
        "watch ends None",
        "report 1 ZeroDivisionError False",
        "&lt; 'a b' True",
        "True",
        "deleted 1",
    ]
    assert code == 41


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_makes_no_report(report: str, tmp_path: Path) -> None:
    program = script(
        "import os, sys\nif os.fork() == 0:\n    sys.exit(3)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))"
    )
    code, out = ended(started(program, written(program, tmp_path / "work"), report))
    assert out.count("report") == 1
    assert "\n3\n" in out
    assert code == 40


def test_ctrl_c_is_told(report: str, tmp_path: Path) -> None:
    program = script("raise KeyboardInterrupt")
    code, out = ended(started(program, written(program, tmp_path / "work"), report))
    assert "report 130 KeyboardInterrupt True" in out
    assert code == 170


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
    ("target", "out", "code"),
    [
        ("work/my_file.py:step", "my_file __main__ ['1'] 2\nstep runs\n", 0),
        ("work/my_file.py:Trainer.step", "my_file __main__ ['1'] 2\nmethod runs\n", 0),
        ("work/my_file.py:Trainer", "my_file __main__ ['1'] 2\n", 0),
    ],
)
def test_a_function(target: str, out: str, code: int, tmp_path: Path) -> None:
    written(Program({"my_file.py": FUNCTIONS, "neighbour.py": "x = 2"}), tmp_path / "work")
    program = Program({}, target, ("1",))
    assert ended(started(program, tmp_path, DRIVER)) == (code, out)


def test_a_function_that_fails(tmp_path: Path) -> None:
    folder = written(Program({"my_file.py": FUNCTIONS, "neighbour.py": "x = 2"}), tmp_path / "work")
    code, out = ended(started(Program({}, "my_file:fails"), folder, DRIVER))
    assert code == 1
    assert re.findall("^  File .*", out, re.MULTILINE) == [f'  File "{folder}/my_file.py", line 7, in fails']


def test_a_file_that_fails_before_its_function_is_called(tmp_path: Path) -> None:
    folder = written(Program({"my_file.py": "import nowhere_at_all\ndef step(): pass"}), tmp_path / "work")
    for target in ("my_file:step", "my_file.py:step"):
        code, out = ended(started(Program({}, target), folder, DRIVER))
        assert code == 1
        assert re.findall("^  File .*", out, re.MULTILINE) == [f'  File "{folder}/my_file.py", line 1, in <module>']


WATCHED = """
import torch
import torch.nn.functional as F
def f(x):
    return F.relu(x)
try:
    f(3)
except Exception as error:
    raise RuntimeError("outer") from error
"""

MODE = """
import sys
import warnings
warnings.simplefilter("ignore")
import torch
import relu_demo.script.run as run
from torch.overrides import TorchFunctionMode
names = {}
exec(compile('''
from torch.overrides import TorchFunctionMode
class Mode(TorchFunctionMode):
    def __torch_function__(self, function, types, arguments=(), named=None):
        return function(*arguments, **(named or {}))
''', run.OURS + "mode.py", "exec"), names)
ended = run.run(run.Script("main.py", open("main.py", "rb").read()), [], names["Mode"]())
run.end(ended, ended.code)
"""


@pytest.mark.slow
def test_the_frames_of_a_mode_are_no_part_of_a_traceback(tmp_path: Path) -> None:
    program = Program({"main.py": WATCHED, "driver.py": MODE}, flags=("-W", "ignore"))
    folder = written(program, tmp_path / "work")
    assert ended(started(program, folder, "driver.py")) == ended(started(program, folder))
