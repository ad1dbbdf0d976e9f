"""PyTorch is loaded: the spinner, Ctrl-C meanwhile, and what is said where it cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import venv
from contextlib import suppress
from pathlib import Path

import pytest
from support.commands import Demo, Result
from support.processes import COLD, ROOT, command_environment
from support.ptys import on_a_terminal, posix


@posix
@pytest.mark.slow
def test_a_spinner_runs_on_stderr_while_pytorch_loads_and_is_gone_afterwards() -> None:
    code, shown, piped = on_a_terminal("--json", python=COLD, stdout=False)
    assert code == 0
    assert "\r| Loading PyTorch" in shown
    assert shown.endswith("\r" + " " * len("| Loading PyTorch ") + "\r")
    assert piped.startswith("{")


@pytest.mark.slow
def test_no_spinner_in_a_pipe(cold: Demo) -> None:
    assert cold("--inplace").err == ""


@posix
@pytest.mark.slow
@pytest.mark.parametrize("after", [0.0, 0.2, 0.6])
def test_ctrl_c_ends_with_130_and_no_traceback(after: float) -> None:
    import pty

    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COLD, "-m", "relu_demo", "--compare", "--shape", "16,8,700,700"],
        stdout=subprocess.PIPE,
        stderr=follower,
        env=command_environment(TERM="xterm"),
    )
    os.close(follower)
    shown = b""
    while b"Loading PyTorch" not in shown:
        shown += os.read(leader, 1024)
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    with suppress(OSError):  # Linux says so that the process has closed it, and that there is nothing left
        shown += os.read(leader, 65536)
    os.close(leader)
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in shown


def loading(source: str, folder: Path, name: str = "torch") -> str:
    """The PYTHONPATH on which a module of that name, PyTorch itself, is what this source makes it."""
    (folder / f"{name}.py").write_text(f"import os, signal, sys, time, warnings\n{source}")
    return f"{folder}{os.pathsep}{ROOT}"


PRESS = "os.kill(os.getpid(), signal.SIGINT); time.sleep(0.01)\n"


@posix
def test_ctrl_c_is_heard_when_pytorch_is_loaded_and_not_inside_it(cold: Demo, tmp_path: Path) -> None:
    """PyTorch's C++ calls Python while it is loaded, and aborts where that raises."""
    torch = f"try:\n    {PRESS}except BaseException:\n    os.abort()\nopen({str(tmp_path / 'done')!r}, 'w')\n"
    result = cold("--inplace", PYTHONPATH=loading(torch, tmp_path))
    assert (result.code, result.out, result.err.strip()) == (130, "", "")
    assert (tmp_path / "done").exists()


@posix
def test_ctrl_c_is_heard_where_pytorch_then_does_not_load(cold: Demo, tmp_path: Path) -> None:
    result = cold("--inplace", PYTHONPATH=loading(f"{PRESS}raise OSError('no such library')", tmp_path))
    assert (result.code, result.out, result.err.strip()) == (130, "", "")


@posix
def test_a_second_ctrl_c_does_not_wait_for_pytorch_and_leaves_no_spinner(tmp_path: Path) -> None:
    torch = f"time.sleep(0.3)\n{PRESS}{PRESS}time.sleep(50)\n"
    saved = str(tmp_path / "x.svg")
    code, shown, _ = on_a_terminal("--inplace", "--save", saved, python=COLD, PYTHONPATH=loading(torch, tmp_path))
    assert code == 130
    assert shown.endswith("\r" + " " * len("| Loading PyTorch ") + "\r")
    assert {path.name for path in tmp_path.iterdir()} <= {"torch.py", "__pycache__"}


@posix
@pytest.mark.slow
def test_ctrl_c_is_for_the_foreground(tmp_path: Path) -> None:
    """A shell's script starts what it puts into the background deaf to Ctrl-C: it is not meant."""
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(tmp_path / "out", "wb") as out:
        process = subprocess.Popen([*COLD, "-m", "relu_demo", "--inplace"], stdout=out, env=command_environment())
    signal.signal(signal.SIGINT, heard)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    assert process.returncode == 0
    assert b"claims" in (tmp_path / "out").read_bytes()


def test_without_pytorch_there_is_one_line_that_says_what_to_install(cold: Demo, tmp_path: Path) -> None:
    path = loading("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')", tmp_path)
    said = "relu-demo: PyTorch is not installed in this Python; give: pip install torch\n"
    assert cold("--inplace", PYTHONPATH=path) == Result(2, "", said)


@pytest.mark.slow
def test_without_numpy_nothing_is_said(cold: Demo, tmp_path: Path) -> None:
    """PyTorch 1.13 looks for it at the first device that is named, and others when they are imported."""
    path = loading("raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')", tmp_path, "numpy")
    done = cold("--memory", "--depth", "2", PYTHONPATH=path)
    assert (done.code, done.err) == (0, "")


@posix
@pytest.mark.parametrize("made_by_scripts", [True, False])
def test_what_is_said_while_pytorch_is_imported_reaches_nobody(tmp_path: Path, made_by_scripts: bool) -> None:
    path = loading(
        "warnings.warn('Failed to initialize NumPy')\nprint('A module that was compiled', file=sys.stderr)\n"
        "raise OSError('libtorch.so: no such file')",
        tmp_path,
    )
    prefix = tmp_path / "env"
    venv.create(prefix, symlinks=True)
    remedy = "install it again: pip install --force-reinstall torch"
    if made_by_scripts:
        (prefix / "relu-demo-stamps").mkdir()
        remedy = f"delete {prefix} and run scripts/run.py, which makes it anew"
    environment = command_environment(PYTHONPATH=os.pathsep.join([path, *filter(None, sys.path)]))
    command = [str(prefix / "bin" / "python"), "-m", "relu_demo", "--inplace"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"relu-demo: PyTorch does not load: libtorch.so: no such file; {remedy}\n"
