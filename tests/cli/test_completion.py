"""Shell completion: what the shell is told when the user presses Tab."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Demo
from support.processes import ROOT, command_environment
from support.ptys import posix

NETWORKS = """
import not_there_at_all
raise SystemExit("completion must not run this")

class Net: ...
class Netless: ...
class _Hidden: ...
def build(): ...
model = Net()
WIDTH = 4
"""


@pytest.fixture(autouse=True)
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file `nets.py` in the current folder."""
    (tmp_path / "nets.py").write_text(NETWORKS)
    (tmp_path / "broken.py").write_text("def (:\n")
    monkeypatch.chdir(tmp_path)


Tab = Callable[..., list[str]]


@pytest.fixture
def tab(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> Tab:
    """Gives the answers to Tab behind the last of the words, each as `type,value`."""

    def call(*words: str, shell: str = "bash") -> list[str]:
        monkeypatch.setenv("_RELU_DEMO_COMPLETE", f"{shell}_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(["relu-demo", *words]))
        monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words)))
        said = demo()
        assert (said.code, said.err) == (0, "")
        lines = [line for line in said.out.splitlines() if line]
        return [",".join(lines[at : at + 2]) for at in range(0, len(lines), 3)] if shell == "zsh" else lines

    return call


@pytest.mark.versions
@pytest.mark.parametrize(
    "words",
    [
        ["--save", "re"],
        ["--compare", "--save", "''"],
        ["check", "--save", "re"],
        ["watch", "a.py", "ne"],
        ["check", "ne"],
        ["watch", "-q", "ne"],
    ],
    ids=" ".join,
)
def test_the_shell_completes_files_itself_where_a_file_is_meant(tab: Tab, words: list[str]) -> None:
    (answer,) = tab(*words)
    assert answer.startswith("file,")


@pytest.mark.versions
@pytest.mark.parametrize("command", ["check", "watch"])
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_behind_a_colon_stand_the_names_in_the_file_which_is_not_run(tab: Tab, shell: str, command: str) -> None:
    answers = tab(command, "nets.py:N", shell=shell)
    assert [answer.partition("\t")[0] for answer in answers] == ["plain,nets.py:Net", "plain,nets.py:Netless"]
    assert len(tab(command, "nets.py:", shell=shell)) == 4  # Net, Netless, build, model


@pytest.mark.versions
@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (["check", "nets.py", ":"], ["Net", "Netless", "build", "model"]),
        (["check", "nets.py", ":", "N"], ["Net", "Netless"]),
        (["check", "nets.py", ":", "nothing"], []),
        (["check", "broken.py", ":"], []),
        (["check", "missing.py", ":"], []),
        (["check", "nets.py", ":", "Net", "--eva"], ["--eval"]),
        (["watch", "nets.py", ":", "bu"], ["build"]),
        (["watch", "-q", "nets.py", ":"], ["Net", "Netless", "build", "model"]),
    ],
)
def test_bash_cuts_a_word_at_its_colon_and_replaces_what_stands_behind_it(
    tab: Tab, words: list[str], answers: list[str]
) -> None:
    assert tab(*words) == [f"plain,{answer}" for answer in answers]


@pytest.mark.versions
@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (["--co"], ["--compare"]),
        (["--version", "--schema", "--co"], ["--compare"]),
        (["wa"], ["watch"]),
        (["explain", "da"], ["data"]),
        (["explain", "leaf", "da"], []),
        (["--dtype", "f"], ["float32", "float64", "float16"]),
        (["--device", "c"], ["cpu", "cuda"]),
        (["--device", "tpu"], []),
        (["--compare", "--part", ""], ["preparation", "in_place", "out_of_place"]),
        (["--memory", "--part", ""], []),
        (["--branches", "--part", "c"], ["conv2_first_in_place", "conv2_first_out_of_place", "clone"]),
    ],
)
def test_what_there_is_is_completed(tab: Tab, words: list[str], answers: list[str]) -> None:
    assert tab(*words) == [f"plain,{answer}" for answer in answers]


BASH = r"""
relu-demo() { '%s' -m relu_demo "$@"; }
env() { while [ "${1#*=}" != "$1" ]; do local -x "$1"; shift; done; "$@"; }
eval "$(_RELU_DEMO_COMPLETE=bash_source relu-demo)"
PS1='ready> '
"""


@posix
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("relu-demo check nets.py:bu", "relu-demo check nets.py:build "),
        ("relu-demo explain step", "relu-demo explain step-before-backward "),
    ],
)
def test_in_bash_itself(tmp_path: Path, typed: str, completed: str) -> None:
    """The line that the README gives, in a bash that reads keys from a terminal."""
    import pty

    (tmp_path / "rc").write_text(BASH % sys.executable)
    leader, follower = pty.openpty()
    environment = command_environment(PATH=os.environ["PATH"], PYTHONPATH=str(ROOT), TERM="dumb", INPUTRC=os.devnull)
    bash = subprocess.Popen(
        ["bash", "--noprofile", "--rcfile", "rc", "-i"],
        cwd=tmp_path,
        env=environment,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    try:
        shown_until(leader, lambda shown: shown.endswith("ready> "))
        os.write(leader, f"{typed}\t".encode())
        shown = shown_until(leader, lambda shown: len(shown) >= len(completed))
        os.write(leader, b"|")  # a space behind it would stand before this
        assert shown + shown_until(leader, lambda shown: "|" in shown) == f"{completed}|"
    finally:
        bash.kill()
        bash.wait()
        os.close(leader)


def shown_until(terminal: int, enough: Callable[[str], bool]) -> str:
    """What comes on a terminal until that is enough, or for a minute."""
    shown = ""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not enough(shown):
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536).decode()
    return shown
