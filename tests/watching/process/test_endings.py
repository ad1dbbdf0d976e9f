"""However a watched program ends, no finding is lost, the exit code is its own, and no file is left."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.processes import command_environment
from support.ptys import posix
from support.watched_program import FAULT, command, left_in, report_of, temporary_folder, watch

pytestmark = [posix, pytest.mark.skipif(torch.__version__ < "2.6", reason="watching takes PyTorch 2.6")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "end",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "sys.stdout.close(); sys.stderr.close(); os.close(2); sys.modules.clear(); os._exit(0)",
        "os.chdir('/'); os.execv(sys.executable, [sys.executable, '-c', ''])",
    ],
)
def test_no_finding_is_lost(tmp_path: Path, end: str) -> None:
    (tmp_path / "train.py").write_text(f"{FAULT}import os, signal, sys\n{end}\n")
    done = watch(tmp_path, "train.py", **temporary_folder(tmp_path))
    assert done.code == 1
    assert done.lines == [(3, 4, 6)]
    assert done.report["backwards"] == 1
    assert left_in(tmp_path) == []


SHOWS = """
import glob, os, stat, torch
(folder,) = glob.glob(os.environ["TMPDIR"] + "/relu-demo-watch-*")
print(oct(stat.S_IMODE(os.stat(folder).st_mode)))
"""


@pytest.mark.slow
def test_the_folder_of_the_findings_is_private(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SHOWS)
    assert watch(tmp_path, "train.py", **temporary_folder(tmp_path)).out == f"{oct(stat.S_IRWXU)}\n"


@pytest.mark.slow
def test_a_process_that_runs_on_keeps_no_folder(tmp_path: Path) -> None:
    on = "import os\nif os.fork() == 0:\n    end = __import__('time').time() + 1.5\n"
    loop = (
        "    while __import__('time').time() < end:\n        torch.ones(1, requires_grad=True).exp().sum().backward()\n"
    )
    null = "    os.close(1); os.close(2)\n"
    (tmp_path / "train.py").write_text(f"{FAULT}{on}{null}{loop}    os._exit(0)\n")
    assert watch(tmp_path, "train.py", **temporary_folder(tmp_path)).code == 1
    assert left_in(tmp_path) == []


WAITS = """
import os, signal, time
def told(number, frame):
    os.write(1, b"told %s\\n" % signal.Signals(number).name.encode())
    raise SystemExit(5)
if HANDLES:
    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
print("ready", flush=True)
for _ in range(600):
    time.sleep(0.1)  # a signal between two calls waits for the next one to return
"""


def running(folder: Path, handles: bool) -> subprocess.Popen[str]:
    (folder / "train.py").write_text(f"{FAULT}HANDLES = {handles}\n{WAITS}")
    process = subprocess.Popen(
        command(folder, ["train.py"]),
        cwd=folder,
        env=command_environment(**temporary_folder(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,  # on a terminal Ctrl-C reaches the program by itself
    )
    assert process.stdout is not None
    assert [process.stdout.readline(), process.stdout.readline()] == ["raised\n", "ready\n"]
    return process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "handles", "code"),
    [(signal.SIGTERM, True, 1), (signal.SIGTERM, False, 1), (signal.SIGINT, True, 1), (signal.SIGINT, False, 130)],
)
def test_a_signal_to_the_command_reaches_the_program(
    tmp_path: Path, number: signal.Signals, handles: bool, code: int
) -> None:
    process = running(tmp_path, handles)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert out == (f"told {number.name}\n" if handles else "")
    assert ("KeyboardInterrupt" in err) is (number == signal.SIGINT and not handles)
    assert process.returncode == code
    assert len(report_of(tmp_path)["findings"]) == 1
    assert left_in(tmp_path) == []


@pytest.mark.slow
def test_the_exit_code_of_a_signal_is_a_shells(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import os, torch\nos.kill(os.getpid(), 15)\n")
    assert watch(tmp_path, "train.py").code == 128 + 15


def on_its_own_terminal(folder: Path, program: list[str], keys: Callable[[bytes], bytes]) -> tuple[int, str]:
    """Runs a command line on a terminal of its own; `keys` gives what has to be pressed, of what was shown."""
    import fcntl
    import pty
    import struct
    import termios

    pid, leader = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(program[0], program, command_environment(TERM="dumb"))
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    shown, pressed = b"", b""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            more = os.read(leader, 65536)
        except OSError:  # Linux says so that the last process has closed it
            break
        if not more:
            break
        shown += more
        if (key := keys(shown)) != pressed:
            os.write(leader, key[len(pressed) :])
            pressed = key
    _, status = os.waitpid(pid, 0)
    os.close(leader)
    return os.waitstatus_to_exitcode(status), shown.decode()


@pytest.mark.slow
def test_ctrl_c_on_a_terminal_is_pressed_once_and_gives_130(tmp_path: Path) -> None:
    waits = (
        "import time, os, sys\nprint(sys.stdin.isatty(), sys.stdout.isatty(), os.get_terminal_size(), flush=True)\n"
        "try:\n    print('ready', flush=True)\n    for _ in range(600):\n        time.sleep(0.1)\n"
        "finally:\n    time.sleep(0.5); print('cleaned up', flush=True)\n"
    )
    (tmp_path / "train.py").write_text(FAULT + waits)
    program = command(tmp_path, ["train.py"])
    code, shown = on_its_own_terminal(tmp_path, program, lambda shown: b"\x03" if b"ready" in shown else b"")
    assert code == 130
    assert "True True os.terminal_size(columns=77, lines=33)" in shown
    assert "cleaned up" in shown
    assert shown.count("KeyboardInterrupt") == 1
    assert len(report_of(tmp_path)["findings"]) == 1


@pytest.mark.slow
def test_the_debugger_works(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(f"{FAULT}z = 41\nbreakpoint()\nprint('end', z)\n")
    program = command(tmp_path, ["train.py"])

    def keys(shown: bytes) -> bytes:
        return b"".join([b"p z + 1\n", b"z = 7\n", b"c\n"][: shown.count(b"(Pdb) ")])

    code, shown = on_its_own_terminal(tmp_path, program, keys)
    assert code == 1
    assert "\r\n42\r\n" in shown
    assert "end 7" in shown
