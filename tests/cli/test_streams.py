"""A good citizen of the terminal: real processes, real pipes, real pseudo-terminals."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from support.commands import COMMAND, Demo, without_addresses
from support.processes import command_environment
from support.ptys import ESCAPE, on_a_terminal, posix
from support.tiers import slow_but

full_disk = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


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


@pytest.mark.parametrize(
    "locale",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp437"},
        {"PYTHONIOENCODING": "cp1252"},
        pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, id="C", marks=pytest.mark.slow),
    ],
    ids=lambda locale: locale["PYTHONIOENCODING"],
)
@pytest.mark.parametrize(
    "arguments", slow_but(1, [["--compare"], ["--shape", "é"], ["--help"], ["--json"]]), ids=" ".join
)
def test_a_narrow_character_set_gets_ascii(locale: dict[str, str], arguments: list[str]) -> None:
    done = subprocess.run([*COMMAND, *arguments], env=command_environment(**locale), capture_output=True, timeout=60)
    assert done.returncode == (2 if "é" in arguments else 0), done.stderr
    assert done.stdout.isascii()
    assert b"Traceback" not in done.stderr


@posix
@pytest.mark.parametrize("arguments", slow_but(1, ["--json --values 20000 --shape 1,3,60,60", "--compare", "--help"]))
def test_a_closed_pipe_ends_quietly(arguments: str) -> None:
    shell = f"set -o pipefail; {shlex.join(COMMAND)} {arguments} | head -1"
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


@full_disk
@pytest.mark.parametrize("arguments", [["--compare"], ["--json"], ["--help"], ["--version"]], ids=" ".join)
def test_a_full_disk_is_an_error(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        command = [*COMMAND, *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=command_environment(), text=True)
    said = "relu-demo: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, said)


@posix
@pytest.mark.parametrize("stderr", [pytest.param("/dev/full", marks=full_disk), "&-"])
def test_what_cannot_even_be_said_has_its_exit_code_and_does_not_go_to_stdout(stderr: str) -> None:
    shell = f"{shlex.join(COMMAND)} --nope 2>{stderr}"
    done = subprocess.run(["bash", "-c", shell], stdout=subprocess.PIPE, env=command_environment())
    assert (done.returncode, done.stdout) == (2, b"")


def test_a_width_of_0_is_none(process: Demo) -> None:
    arguments = ("--inplace", "--seed", "7")
    unset, zero = process(*arguments), process(*arguments, COLUMNS="0", LINES="0")
    assert without_addresses(zero.out) == without_addresses(unset.out)


@pytest.mark.slow
def test_a_width_of_0_is_none_for_what_is_told_of_a_watched_program_either(process: Demo) -> None:
    assert "1 fault found" in process("watch", str(Path(__file__).parents[1] / "gan.py"), COLUMNS="0").err
