"""--help, --version and --schema, and what is not imported for them."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import pytest
import torch
from support.commands import Demo
from support.processes import COLD, command_environment
from support.tiers import slow_but

from relu_demo import __version__


@pytest.mark.versions
@pytest.mark.parametrize("command", [[], ["explain"], ["check"], ["watch"]], ids=str)
@pytest.mark.parametrize("columns", ["80", "100", "200"])
def test_each_help_fits_the_terminal(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, columns: str, command: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = demo(*command, "--help").out.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert len(lines) < 40


@pytest.mark.versions
def test_each_command_has_its_own_options_and_no_other(demo: Demo) -> None:
    def options(*command: str) -> set[str]:
        shown = demo(*command, "--help").out.partition("Exit codes")[0]
        return set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", shown, re.MULTILINE))

    both = {"--diff", "--json", "--quiet", "--save", "--light", "--help"}
    assert options("watch") == both | {"--try"}
    assert options("check") == both | {"--seed", "--shape", "--device", "--dtype", "--train", "--all", "--traceback"}
    session = {"--repl", "--step", "--lang", "--evidence"}
    assert options("explain") == both - {"--diff"} | session | {"--seed", "--traceback"}
    assert options() & {"--train", "--all", "--check", "--watch"} == set()
    assert {"--compare", "--schema", "--version", "--seed"} <= options()


@pytest.mark.parametrize(
    "arguments",
    slow_but(
        4,
        [
            *(["--help"], [], ["-V"], ["--schema"], ["--shape", "1,2"], ["--step"], ["--save", "/none/x.svg"]),
            *(["explain", "leef"], ["check", "-h"], ["watch", "-h"], ["check", "none.py:Net"], ["watch", "none.py"]),
            *(["explain", "-q"], ["--json"], ["--quiet"]),
        ],
    ),
    ids=" ".join,
)
def test_nothing_is_imported_that_is_not_needed(arguments: list[str]) -> None:
    """Neither torch nor rich for help, a version, a usage error and Tab; no rich for what programs read."""
    tab = {"_RELU_DEMO_COMPLETE": "bash_complete", "COMP_WORDS": "relu-demo --co", "COMP_CWORD": "1"}
    done = subprocess.run(
        [*COLD, "-X", "importtime", "-m", "relu_demo", *arguments],
        env=command_environment(**({} if arguments else tab)),
        capture_output=True,
        text=True,
    )
    imported = re.findall(r"^import time: .*\| +(\w+)$", done.stderr, re.MULTILINE)
    assert "click" in imported
    assert ("torch" in imported) == (arguments in (["--json"], ["--quiet"]))
    assert "rich" not in imported
    assert arguments or done.stdout == "plain,--compare\n"


def test_version_says_pytorch_s_and_python_s_too(demo: Demo) -> None:
    python = platform.python_version()
    said = demo("-V").out
    assert said.startswith(f"relu-demo {__version__}, PyTorch {torch.__version__.partition('+')[0]}")  # Debian cuts it
    assert said.endswith(f", Python {python}\n")
    site = str(Path(torch.__file__).parents[1])
    hidden = f"import click, sys; sys.path.remove({site!r}); from relu_demo.cli.run import run; run(['-V'])"
    done = subprocess.run([*COLD, "-c", hidden], env=command_environment(), capture_output=True, text=True)
    assert done.stdout == f"relu-demo {__version__}, PyTorch is not installed, Python {python}\n"
