"""A good citizen of the terminal: real processes, real pipes, real pseudo-terminals."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import ROOT, Demo, command_environment, without_addresses

COMMAND = [sys.executable, "-m", "relu_demo"]
posix = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal or a signal of Unix")
ESCAPE = "\x1b"


def on_a_terminal(*arguments: str, columns: int = 80, stdout: bool = True, **environment: str) -> tuple[int, str, str]:
    """Runs the command with stderr, and stdout unless told otherwise, on a pseudo-terminal.

    Gives the exit code, what came on the terminal, and what came on stdout where that is a pipe.
    """
    import fcntl
    import pty
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=follower,
        stdout=follower if stdout else subprocess.PIPE,
        stderr=follower,
        env=command_environment(**{"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment}),
    )
    os.close(follower)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready, _, _ = select.select([leader], [], [], 0.1)
        if ready:
            try:
                shown += os.read(leader, 65536)
            except OSError:  # Linux says so that the last process has closed it
                break
        elif process.poll() is not None:
            break
    piped = process.stdout.read() if process.stdout else b""
    os.close(leader)
    return process.wait(timeout=60), shown.decode(), piped.decode()


@posix
@pytest.mark.versions
def test_a_terminal_gets_colours_and_a_pipe_plain_text(process: Demo) -> None:
    code, shown, _ = on_a_terminal("--compare", "--seed", "7")
    assert code == 0
    assert f"{ESCAPE}[1;35m" in shown
    piped = process("--compare", "--seed", "7")
    assert ESCAPE not in piped.out
    assert piped.err == ""
    assert all(line == line.rstrip() for line in piped.out.splitlines())


@posix
def test_no_color_is_respected() -> None:
    _, shown, _ = on_a_terminal("--compare", NO_COLOR="1")
    assert not re.search(ESCAPE + r"\[[0-9;]*3[0-7]m", shown)


@posix
def test_a_dumb_terminal_gets_no_escapes_and_no_spinner() -> None:
    code, shown, _ = on_a_terminal("--compare", TERM="dumb")
    assert code == 0
    assert ESCAPE not in shown
    assert "Loading" not in shown


@posix
def test_a_spinner_runs_on_stderr_while_pytorch_loads_and_is_gone_afterwards() -> None:
    code, shown, piped = on_a_terminal("--json", stdout=False)
    assert code == 0
    assert "\r| Loading PyTorch" in shown
    assert shown.endswith("\r" + " " * len("| Loading PyTorch ") + "\r")
    assert piped.startswith("{")


def test_no_spinner_in_a_pipe(process: Demo) -> None:
    assert process("--inplace").err == ""


@pytest.mark.versions
@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120, 170, 250])
@pytest.mark.parametrize(
    "options",
    [("--compare",), (), ("--inplace", "--shape", "2,3,70,90"), ("--no-inplace", "--dtype", "float64")],
    ids=" ".join,
)
def test_a_screen_fits_any_width_from_40_columns(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, columns: int, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    result = demo(*options, "--seed", "7")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= columns
    assert "…" not in result.out
    for word in ("ConvolutionBackward0", "storage", "version", "holds"):
        assert word in result.out


@pytest.mark.versions
@pytest.mark.parametrize("scenario", ["", "--inplace", "--no-inplace", "--compare", "--branches"])
@pytest.mark.parametrize("options", [("--seed", "7"), ("--seed", "0", "--shape", "1,1,3,3")], ids=" ".join)
def test_at_40_columns_nothing_of_a_claim_is_lost(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, scenario: str, options: tuple[str, ...]
) -> None:
    """With the second options o1 has no negative number, and some claims cannot be shown."""
    arguments = [*filter(None, [scenario]), *options]
    monkeypatch.setenv("COLUMNS", "40")
    out = demo(*arguments).out
    assert "…" not in out

    def words_of(text: str) -> str:
        return re.sub(r"\s", "", without_addresses(text))

    shown = words_of(out[out.index("Claims") :])
    for claim in demo(*arguments, "--json").document["claims"]:
        words = "\n".join(str(claim[part] or "") for part in ("number", "verdict", "says", "evidence", "advice"))
        assert words_of(words) in shown


def test_at_40_columns_the_moments_are_stacked_and_at_170_the_halves_stand_side_by_side(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def titles(columns: int) -> list[int]:
        monkeypatch.setenv("COLUMNS", str(columns))
        return [line.count("o1 after") for line in demo("--compare").out.splitlines() if "o1 after" in line]

    assert titles(40) == [1, 1]
    assert titles(80) == [1, 1]
    assert titles(170) == [2]
    monkeypatch.setenv("COLUMNS", "80")
    assert re.search(r"o1 before +o1 after +h1", demo("--compare").out)
    monkeypatch.setenv("COLUMNS", "40")
    assert not re.search(r"o1 before +o1 after", demo("--compare").out)


def test_what_changed_and_what_was_zeroed_is_marked_by_a_sign(demo: Demo) -> None:
    document = demo("--inplace", "--json", "--seed", "7").document
    zeroed = document["parts"]["in_place"]["moments"]["o1_after"]["zeroed"]
    out = demo("--inplace", "--seed", "7").out
    assert out.count("*0.0000") == 2 * zeroed  # in o1 after, and in h1, which is o1
    assert re.search(r"version 0 +\*1 +1\n", out)
    assert re.search(r"grad_fn ConvolutionBackward0 +\*ReluBackward0 +ReluBackward0\n", out)
    assert re.search(r"id +\d+ +\d+ same +\d+ is o1\n", out)
    other = demo("--no-inplace", "--seed", "7").out
    assert other.count("*0.0000") == zeroed
    assert re.search(r"id +\d+ +\d+ same +\d+ not o1\n", other)


def test_a_large_tensor_is_summarised_on_a_few_screens(demo: Demo) -> None:
    out = demo("--compare", "--shape", "2,3,300,300").out
    assert len(out.splitlines()) < 100
    for label in ("in all", "below 0", "zeros", "min", "max", "corner"):
        assert re.search(rf"^{label} ", out, re.MULTILINE)


@pytest.mark.parametrize(
    "locale",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp437"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["ascii", "cp437", "cp1252", "C"],
)
@pytest.mark.parametrize("arguments", [["--compare"], ["--help"], ["--json"], ["--shape", "é"]], ids=" ".join)
def test_a_narrow_character_set_gets_ascii(locale: dict[str, str], arguments: list[str]) -> None:
    done = subprocess.run([*COMMAND, *arguments], env=command_environment(**locale), capture_output=True, timeout=60)
    assert done.returncode == (2 if "é" in arguments else 0), done.stderr
    assert done.stdout.isascii()
    assert b"Traceback" not in done.stderr


@posix
@pytest.mark.parametrize("arguments", ["--compare", "--json --values 1000000 --shape 4,3,90,90", "--help"])
def test_a_closed_pipe_ends_quietly(arguments: str) -> None:
    shell = f"set -o pipefail; '{sys.executable}' -m relu_demo {arguments} | head -1"
    done = subprocess.run(["bash", "-c", shell], env=command_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


@posix
@pytest.mark.parametrize("arguments", [["--compare"], ["--json"]])
def test_a_reader_that_is_gone_before_we_write_is_no_fault(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, *arguments], stdout=writing, stderr=subprocess.PIPE, env=command_environment(), timeout=60
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["--compare"], ["--json"], ["--help"], ["--version"]], ids=" ".join)
def test_a_full_disk_is_an_error(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            env=command_environment(),
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert done.stderr == "relu-demo: the output cannot be written: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_what_cannot_even_be_said_has_its_exit_code() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "--nope"], stdout=subprocess.PIPE, stderr=full, env=command_environment())
    assert (done.returncode, done.stdout) == (2, b"")


@posix
def test_without_stderr_a_fault_does_not_go_to_stdout() -> None:
    shell = f"'{sys.executable}' -m relu_demo --nope 2>&-"
    done = subprocess.run(["bash", "-c", shell], stdout=subprocess.PIPE, env=command_environment())
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize("arguments", [["--inplace", "--seed", "7"], ["--help"]], ids=" ".join)
def test_a_width_of_0_is_none(process: Demo, arguments: list[str]) -> None:
    unset, zero = process(*arguments), process(*arguments, COLUMNS="0", LINES="0")
    assert without_addresses(zero.out) == without_addresses(unset.out)


@pytest.mark.versions
@pytest.mark.parametrize("columns", ["80", "100", "200"])
def test_help_fits_the_terminal(process: Demo, columns: str) -> None:
    assert max(map(len, process("--help", COLUMNS=columns).out.splitlines())) <= int(columns)


@posix
@pytest.mark.parametrize("after", [0.0, 0.2, 0.6])
def test_ctrl_c_ends_with_130_and_no_traceback(after: float) -> None:
    import pty

    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--compare", "--shape", "16,8,700,700"],
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


def loading(torch: str, folder: Path) -> str:
    """The PYTHONPATH on which `torch`, the source of a module, is what is loaded as PyTorch."""
    (folder / "torch.py").write_text(f"import os, signal, time\n{torch}")
    return f"{folder}{os.pathsep}{ROOT}"


PRESS = "os.kill(os.getpid(), signal.SIGINT); time.sleep(0.01)\n"


@posix
def test_ctrl_c_is_heard_when_pytorch_is_loaded_and_not_inside_it(process: Demo, tmp_path: Path) -> None:
    """PyTorch's C++ calls Python while it is loaded, and aborts where that raises."""
    torch = f"try:\n    {PRESS}except BaseException:\n    os.abort()\nopen({str(tmp_path / 'done')!r}, 'w')\n"
    result = process("--inplace", PYTHONPATH=loading(torch, tmp_path))
    assert (result.code, result.out, result.err.strip()) == (130, "", "")
    assert (tmp_path / "done").exists()


@posix
def test_ctrl_c_is_heard_where_pytorch_then_does_not_load(process: Demo, tmp_path: Path) -> None:
    result = process("--inplace", PYTHONPATH=loading(f"{PRESS}raise OSError('no such library')", tmp_path))
    assert (result.code, result.out, result.err.strip()) == (130, "", "")


@posix
def test_a_second_ctrl_c_does_not_wait_for_pytorch_and_leaves_no_spinner(tmp_path: Path) -> None:
    torch = f"time.sleep(0.3)\n{PRESS}{PRESS}time.sleep(50)\n"
    saved = str(tmp_path / "x.svg")
    code, shown, _ = on_a_terminal("--inplace", "--save", saved, PYTHONPATH=loading(torch, tmp_path))
    assert code == 130
    assert shown.endswith("\r" + " " * len("| Loading PyTorch ") + "\r")
    assert {path.name for path in tmp_path.iterdir()} <= {"torch.py", "__pycache__"}


@posix
def test_ctrl_c_is_for_the_foreground(tmp_path: Path) -> None:
    """A shell's script starts what it puts into the background deaf to Ctrl-C: it is not meant."""
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(tmp_path / "out", "wb") as out:
        process = subprocess.Popen([*COMMAND, "--inplace"], stdout=out, env=command_environment())
    signal.signal(signal.SIGINT, heard)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    assert process.returncode == 0
    assert b"Claims" in (tmp_path / "out").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["-h"], ["--version"], ["-V"], ["--compare", "--inplace"], ["--shape", "1,2"], ["--nope"]],
    ids=" ".join,
)
def test_help_version_and_a_usage_error_do_without_torch_and_rich(arguments: list[str]) -> None:
    imported = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "relu_demo", *arguments],
        env=command_environment(),
        capture_output=True,
        text=True,
    ).stderr
    modules = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in imported.splitlines() if "import time:" in line}
    assert "click" in modules
    assert not modules & {"torch", "rich", "numpy"}


def test_json_does_without_rich(process: Demo) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "relu_demo", "--json"],
        env=command_environment(),
        capture_output=True,
        text=True,
    )
    modules = {
        line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "import time:" in line
    }
    assert "torch" in modules
    assert "rich" not in modules


@pytest.mark.versions
def test_help_teaches(process: Demo) -> None:
    shown = process("--help").out
    for option in (
        "--inplace",
        "--no-inplace",
        "--compare",
        "--seed",
        "--shape",
        "--device",
        "--dtype",
        "--json",
        "-V",
        "-h",
    ):
        assert option in shown
    assert "Exit codes" in shown
    assert "relu-demo --compare" in shown
    assert process("-V").out.strip() == "relu-demo, version 0.1.0"


def test_shell_completion_is_as_click_gives_it(process: Demo) -> None:
    completed = process(_RELU_DEMO_COMPLETE="bash_complete", COMP_WORDS="relu-demo --co", COMP_CWORD="1").out
    assert "--compare" in completed


def test_without_pytorch_there_is_one_line_that_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    environment = command_environment()
    environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{environment['PYTHONPATH']}"
    done = subprocess.run([*COMMAND, "--inplace"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "relu-demo: PyTorch is not installed in this Python; give: pip install torch\n"


def test_what_is_said_while_pytorch_is_imported_reaches_nobody(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(
        "import sys, warnings\nwarnings.warn('Failed to initialize NumPy')\n"
        "print('A module that was compiled', file=sys.stderr)\n"
        "raise OSError('libtorch.so: no such file')"
    )
    environment = command_environment()
    environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{environment['PYTHONPATH']}"
    done = subprocess.run([*COMMAND, "--inplace"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "relu-demo: PyTorch does not load: libtorch.so: no such file\n"
