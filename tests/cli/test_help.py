"""--help, --version and shell completion, and what is not imported for them."""

from __future__ import annotations

import subprocess

import pytest
from support.commands import Demo
from support.processes import COLD, command_environment


@pytest.mark.versions
@pytest.mark.parametrize("columns", ["80", "100", "200"])
def test_help_fits_the_terminal(process: Demo, columns: str) -> None:
    assert max(map(len, process("--help", COLUMNS=columns).out.splitlines())) <= int(columns)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["-h"], ["--version"], ["-V"], ["--compare", "--inplace"], ["--shape", "1,2"], ["--nope"]],
    ids=" ".join,
)
def test_help_version_and_a_usage_error_do_without_torch_and_rich(arguments: list[str]) -> None:
    imported = subprocess.run(
        [*COLD, "-X", "importtime", "-m", "relu_demo", *arguments],
        env=command_environment(),
        capture_output=True,
        text=True,
    ).stderr
    modules = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in imported.splitlines() if "import time:" in line}
    assert "click" in modules
    assert not modules & {"torch", "rich", "numpy"}


def test_json_does_without_rich(process: Demo) -> None:
    done = subprocess.run(
        [*COLD, "-X", "importtime", "-m", "relu_demo", "--json"],
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
