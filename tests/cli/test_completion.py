"""Shell completion: what the shell is told when the user presses Tab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import Demo
from support.processes import COLD, ROOT, command_environment
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


def tab(process: Demo, *words: str, shell: str = "bash") -> list[str]:
    """The answers to Tab behind the last of the words, each as `type,value`."""
    line = " ".join(["relu-demo", *words])
    begun = words[-1] if shell == "fish" else str(len(words))
    said = process(_RELU_DEMO_COMPLETE=f"{shell}_complete", COMP_WORDS=line, COMP_CWORD=begun)
    assert said.err == ""
    lines = [line for line in said.out.splitlines() if line]
    return [",".join(lines[at : at + 2]) for at in range(0, len(lines), 3)] if shell == "zsh" else lines


@pytest.mark.versions
def test_an_option_that_is_begun_is_completed(process: Demo) -> None:
    assert tab(process, "--co") == ["plain,--compare"]


@pytest.mark.versions
@pytest.mark.parametrize("words", [["check", "ne"], ["--save", "re"], ["--compare", "--save", "''"]], ids=" ".join)
def test_the_shell_completes_files_itself_where_a_file_is_meant(process: Demo, words: list[str]) -> None:
    (answer,) = tab(process, *words)
    assert answer.startswith("file,")


@pytest.mark.versions
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_behind_a_colon_stand_the_names_in_the_file_which_is_not_run(process: Demo, shell: str) -> None:
    answers = tab(process, "check", "nets.py:N", shell=shell)
    assert [answer.partition("\t")[0] for answer in answers] == ["plain,nets.py:Net", "plain,nets.py:Netless"]
    assert len(tab(process, "check", "nets.py:", shell=shell)) == 4  # Net, Netless, build, model


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
    ],
)
def test_bash_cuts_a_word_at_its_colon_and_replaces_what_stands_behind_it(
    process: Demo, words: list[str], answers: list[str]
) -> None:
    assert tab(process, *words) == [f"plain,{answer}" for answer in answers]


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (["--dtype", "f"], ["float32", "float64", "float16"]),
        (["--device", "c"], ["cpu", "cuda"]),
        (["--device", "tpu"], []),
    ],
)
def test_devices_and_dtypes_are_a_fixed_list(process: Demo, words: list[str], answers: list[str]) -> None:
    assert tab(process, *words) == [f"plain,{answer}" for answer in answers]


def test_tab_waits_for_neither_torch_nor_rich(process: Demo) -> None:
    words = {"_RELU_DEMO_COMPLETE": "bash_complete", "COMP_WORDS": "relu-demo --check nets.py : N", "COMP_CWORD": "4"}
    done = subprocess.run(
        [*COLD, "-X", "importtime", "-m", "relu_demo"],
        env=command_environment(**words),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "plain,Net\nplain,Netless\n"
    modules = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "click" in modules
    assert not modules & {"torch", "rich", "numpy"}


BASH = """
relu-demo() { '%s' -m relu_demo "$@"; }
eval "$(_RELU_DEMO_COMPLETE=bash_source relu-demo | sed 's/complete -o nosort/complete/; s/compopt/#/')"
env() { while [ "${1#*=}" != "$1" ]; do local -x "$1"; shift; done; "$@"; }
COMP_WORDS=(relu-demo --check nets.py : bu) COMP_CWORD=4
_relu_demo_completion relu-demo
echo "${COMPREPLY[@]}"
"""


@posix
def test_in_bash_itself(tmp_path: Path) -> None:
    """The line that the README gives, in a real bash, with the function that it defines."""
    done = subprocess.run(
        ["bash", "-c", BASH % sys.executable],
        env=command_environment(PATH=os.environ["PATH"], PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "build\n", done.stderr
