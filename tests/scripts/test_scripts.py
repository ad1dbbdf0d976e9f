"""The scripts run.py and test.py, as real processes on a tiny project with tiny packages, and no network."""

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest
from support.pythons import other_pythons, version_of

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
PATIENCE = 120  # seconds that no step here may take, however busy the machine
PAUSE = 0.05  # seconds between two looks at a file

pytestmark = pytest.mark.slow  # most of these make an environment

posix = pytest.mark.skipif(os.name == "nt", reason="signals and process groups are POSIX")

# Builds the tiny project's editable install; while the file "hold" is there it goes no further.
BACKEND = """
import os, time, zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    if os.path.exists("hold"):
        open("held", "w").close()
    while os.path.exists("hold"):
        time.sleep(0.02)
    version = open("relu_demo/__init__.py").read().split('"')[1]
    info = f"relu_demo-{version}.dist-info"
    name = f"relu_demo-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("relu_demo.pth", os.getcwd())
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: relu-demo\\nVersion: {version}\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "relu-demo"
dynamic = ["version"]
"""

PROGRAM = """
import importlib.metadata, json, os, sys, time
import tiny
import relu_demo

if sys.argv[1:2] == ["exit"]:
    sys.exit(int(sys.argv[2]))
if sys.argv[1:2] == ["die"]:
    os.kill(os.getpid(), int(sys.argv[2]))
if sys.argv[1:2] == ["sleep"]:
    try:
        print("asleep", flush=True)
        for _ in range(600):
            time.sleep(0.1)  # a signal between two calls waits for the next one to return
    except KeyboardInterrupt:
        sys.exit(130)
print(json.dumps({
    "arguments": sys.argv[1:],
    "started_as": os.environ.get("RELU_DEMO_STARTED_AS"),
    "folder": os.getcwd(),
    "prefix": sys.prefix,
    "python": list(sys.version_info[:2]),
    "tiny": tiny.VERSION,
    "version": relu_demo.__version__,
    "installed": importlib.metadata.version("relu-demo"),
}))
"""

# Stands in for pytest: tells what it was given, and exits with the code it was given.
TEST_RUNNER = """
import os, sys
print("testing in", os.getcwd(), "with", *sys.argv[1:])
sys.exit(int(sys.argv[1]) if sys.argv[1:] else 0)
"""


@dataclass(frozen=True)
class Project:
    """A copy of the scripts around a project so small that its environment is made in seconds."""

    root: Path
    wheels: Path

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def environ(self, **more: str) -> dict[str, str]:
        settings = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        here = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}
        return {**settings, **here, **more}

    def start(
        self,
        *arguments: str,
        script: str = "run.py",
        python: str = sys.executable,
        cwd: Path | None = None,
        **environ: str,
    ) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [python, str(self.root / "scripts" / script), *arguments],
            cwd=cwd or self.root,
            env=self.environ(**environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=os.name != "nt",
        )

    def run(
        self, *arguments: str, script: str = "run.py", python: str = sys.executable, **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        return finish(self.start(*arguments, script=script, python=python, cwd=None, **environ))

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def hold(self) -> None:
        """Let the next installation stop in its middle."""
        (self.root / "held").unlink(missing_ok=True)
        self.write("hold", "")

    def wait_until_held(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not (self.root / "held").exists():
            assert time.monotonic() < deadline, "the installation has not come to its middle"
            time.sleep(PAUSE)

    def release(self) -> None:
        (self.root / "hold").unlink()


def finish(process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def write_wheel(folder: Path, name: str, version: str, source: str) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", source)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def make_project(root: Path) -> Project:
    project = Project(root / "a project", root / "wheels")
    project.wheels.mkdir(parents=True)
    for version in ("1.0", "2.0"):
        write_wheel(project.wheels, "tiny", version, f"VERSION = '{version}'")
    write_wheel(project.wheels, "pytest", "1.0", TEST_RUNNER)
    shutil.copytree(SCRIPTS, project.root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    project.write("scripts/constraints.txt", "")
    project.write("scripts/requirements.txt", "tiny==1.0\n")
    project.write("scripts/requirements-torch.txt", "# none\n")
    project.write("scripts/requirements-test.txt", "pytest==1.0\n")
    project.write("backend.py", BACKEND)
    project.write("pyproject.toml", PYPROJECT)
    project.write("relu_demo/__init__.py", '__version__ = "0.1.0"\n')
    project.write("relu_demo/locale/zh/LC_MESSAGES/relu_demo.po", "")
    project.write("relu_demo/__main__.py", PROGRAM)
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose environment is made; for tests that leave what it is made of as it was."""
    project = make_project(tmp_path_factory.mktemp("made"))
    assert project.run().returncode == 0
    return project


def said(result: "subprocess.CompletedProcess[str]") -> dict[str, object]:
    """What the program told of itself; it must be all there is on stdout."""
    assert result.returncode == 0, result.stderr
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


def test_the_first_run_makes_the_environment_tells_of_it_on_stderr_and_runs_the_program(
    project: Project, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "tiny.py").write_text("VERSION = 'wrong'")
    misled = {"PYTHONPATH": str(elsewhere), "PYTHONSAFEPATH": "1", "PIP_TARGET": str(elsewhere), "PIP_USER": "1"}
    first = project.run("--compare", "a b", "", **misled)
    answer = said(first)
    assert answer["tiny"] == "1.0"
    assert answer["arguments"] == ["--compare", "a b", ""]
    assert answer["started_as"] == f"python '{project.root / 'scripts' / 'run.py'}'"
    assert Path(str(answer["prefix"])).samefile(project.venv)
    assert answer["version"] == answer["installed"] == "0.1.0"
    said_first, *others = first.stderr.splitlines()
    assert "making a virtual environment" in said_first
    assert [line.partition(",")[0].partition(";")[0] for line in others] == [
        "relu-demo: downloading and installing PyTorch and the other pinned packages",
        "relu-demo: installing relu-demo itself",
        "relu-demo: the environment is ready",
    ]


def test_a_second_run_says_nothing_and_starts_at_once(made: Project) -> None:
    assert made.run().stderr == ""
    python = made.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ways = {
        "script": [sys.executable, str(made.root / "scripts" / "run.py"), "exit", "0"],
        "direct": [str(python), "-m", "relu_demo", "exit", "0"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(3):
        for name, command in ways.items():
            began = time.perf_counter()
            subprocess.run(command, env=made.environ(), check=True, cwd=made.root)
            seconds[name].append(time.perf_counter() - began)
    assert median(seconds["script"]) - median(seconds["direct"]) < 0.3


def test_it_runs_in_the_callers_folder_and_is_not_misled_by_it_or_by_another_environment(
    made: Project, tmp_path: Path
) -> None:
    for trap in ("tiny.py", "relu_demo.py", "venv.py", "pip.py", "json.py"):
        (tmp_path / trap).write_text("raise SystemExit('imported from the wrong folder')")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "tiny.py").write_text("VERSION = 'wrong'")
    misled = {
        "PYTHONPATH": str(elsewhere),
        "PYTHONHOME": sys.base_prefix,
        "VIRTUAL_ENV": str(elsewhere),
        "PIP_TARGET": str(elsewhere),
        "PIP_USER": "1",
    }
    result = finish(made.start(cwd=tmp_path, **misled))
    answer = said(result)
    assert Path(str(answer["folder"])).samefile(tmp_path)
    assert answer["tiny"] == "1.0"
    assert Path(str(answer["prefix"])).samefile(made.venv)
    assert result.stderr == ""


def test_the_programs_exit_code_and_the_signal_that_ended_it_are_passed_on(made: Project) -> None:
    assert made.run("exit", "77").returncode == 77
    assert os.name == "nt" or made.run("die", str(int(signal.SIGKILL))).returncode == -signal.SIGKILL


@posix
def test_ctrl_c_in_the_program_is_130_without_a_traceback(made: Project) -> None:
    process = made.start("sleep")
    assert process.stdout is not None
    assert process.stdout.readline() == "asleep\n"
    os.killpg(process.pid, signal.SIGINT)
    result = finish(process)
    assert (result.returncode, result.stderr) == (130, "")


@posix
def test_interrupted_half_way_the_next_run_begins_again(project: Project) -> None:
    project.hold()
    stopped = project.start()
    project.wait_until_held()
    os.killpg(stopped.pid, signal.SIGINT)
    result = finish(stopped)
    assert result.returncode == 130
    assert result.stderr.splitlines()[-1].startswith("relu-demo: stopped")
    assert "run.py" not in result.stderr, "no traceback of the script's own"

    project.hold()
    killed = project.start()
    project.wait_until_held()
    killed.kill()
    again = project.start()
    assert again.stderr is not None
    assert "waiting for another run" in again.stderr.readline(), "the pip of the one that was killed still writes"
    os.killpg(killed.pid, signal.SIGKILL)
    finish(killed)
    project.release()
    result = finish(again)
    assert said(result)["tiny"] == "1.0"
    assert "making a virtual environment" in result.stderr
    assert project.run().stderr == ""


def test_two_first_runs_make_one_environment_and_an_edit_takes_effect_in_it(project: Project) -> None:
    results = [finish(process) for process in [project.start(), project.start()]]
    assert [said(result)["tiny"] for result in results] == ["1.0", "1.0"]
    assert sum("making a virtual environment" in result.stderr for result in results) == 1

    project.write("relu_demo/__main__.py", "print('edited')")
    edited = project.run()
    assert (edited.stdout, edited.stderr) == ("edited\n", "")

    project.write("relu_demo/__main__.py", PROGRAM)
    project.write("relu_demo/__init__.py", '__version__ = "0.2.0"\n')
    newer = project.run()
    assert said(newer)["installed"] == "0.2.0"
    assert "making a virtual environment" not in newer.stderr

    next(project.venv.rglob("relu_demo.pth")).unlink()
    damaged = project.run()
    assert (damaged.returncode, damaged.stdout) == (1, "")
    assert len(damaged.stderr.splitlines()) == 1
    assert f"relu_demo.pth; remove the folder {project.venv}" in damaged.stderr

    moved = Project(project.root.with_name("moved"), project.wheels)
    project.root.rename(moved.root)
    assert Path(str(said(moved.run())["prefix"])).samefile(moved.venv)


@posix
def test_new_pins_take_effect_once_no_program_runs_in_the_environment_and_are_shown_on_a_terminal(
    project: Project,
) -> None:
    project.run()
    running = project.start("sleep")
    assert running.stdout is not None
    assert running.stdout.readline() == "asleep\n"
    project.write("scripts/requirements.txt", "tiny==2.0\n")
    screen, terminal = pty.openpty()
    command = [sys.executable, str(project.root / "scripts" / "run.py")]
    with subprocess.Popen(
        command, env=project.environ(COLUMNS="60"), stdout=subprocess.PIPE, stderr=terminal, text=True
    ) as waiting:
        os.close(terminal)
        shown = os.read(screen, 4096)
        assert b"waiting for another run" in shown
        assert running.poll() is None
        os.killpg(running.pid, signal.SIGINT)
        assert finish(running).returncode == 130
        with contextlib.suppress(OSError):  # the terminal is gone when the last process has closed it
            while piece := os.read(screen, 4096):
                shown += piece
        assert waiting.stdout is not None
        assert json.loads(waiting.stdout.read())["tiny"] == "2.0"
    os.close(screen)
    drawn = [line.split("\r") for line in shown.decode().replace("\r\n", "\n").split("\n") if line]
    assert any("tiny" in text for line in drawn for text in line[:-1]), "pip's line, drawn over by the next one"
    assert all(line[-1].startswith("relu-demo: ") for line in drawn), "what stays"


def test_the_tests_come_on_top_and_neither_script_undoes_the_other(made: Project, tmp_path: Path) -> None:
    made.write("scripts/requirements-test.txt", "nowhere-to-be-found==1.0\n")
    failed = made.run(script="test.py")
    last = failed.stderr.splitlines()[-1]
    assert (failed.returncode, failed.stdout) == (1, "")
    assert last.startswith("relu-demo: the environment could not be made")
    assert "No matching distribution found for nowhere-to-be-found==1.0" in last
    assert "network" in last
    assert "ERROR: No matching distribution found" in failed.stderr, "pip's own output"
    assert made.run().stderr == "", "what worked still works"

    made.write("scripts/requirements-test.txt", "pytest==1.0\n")
    tests = finish(made.start("5", "-k", "name", script="test.py", cwd=tmp_path))
    assert tests.returncode == 5, "the exit code of the tests"
    assert tests.stdout == f"testing in {made.root.resolve()} with 5 -k name\n"
    assert "making a virtual environment" not in tests.stderr
    assert made.run().stderr == ""
    again = made.run(script="test.py")
    assert (again.returncode, again.stderr) == (0, "")


def test_an_environment_made_by_something_else_is_left_alone(project: Project) -> None:
    project.write(".venv/precious", "mine")
    result = project.run()
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "was made by something else" in result.stderr
    assert (project.venv / "precious").read_text() == "mine"


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_that_cannot_make_environments_says_what_to_install(
    project: Project, tmp_path: Path, module: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.modules[{module!r}] = None")
    result = project.run(PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert module in result.stderr
    assert f"apt install python3.{sys.version_info[1]}-venv" in result.stderr
    assert not project.venv.exists()


def other_python() -> str:
    here = sys.version_info[:2]
    newer = [python for python in other_pythons() if (3, 11) <= version_of(python) != here]
    if not newer:
        pytest.skip("this machine has no other Python from 3.11 on")
    return newer[-1]


def test_another_python_uses_the_environment_and_changes_nothing_in_it(made: Project) -> None:
    other = other_python()
    assert said(made.run(python=other))["python"] == list(sys.version_info[:2])
    made.write("scripts/requirements.txt", "tiny==2.0\n")
    refused = made.run(python=other)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert len(refused.stderr.splitlines()) == 1
    assert "was made by another Python" in refused.stderr
    made.write("scripts/requirements.txt", "tiny==1.0\n")
    assert made.run().stderr == ""
