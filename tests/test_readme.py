"""The three READMEs: every command in them is run, and the output that stands there is the real one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
import torch
from faults import PreActivation
from support.commands import without_addresses
from support.processes import PYTHON, ROOT, command_environment

import relu_demo

sys.path.insert(0, str(ROOT / "scripts"))

from readme import Example, examples

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
MEASURED = (ROOT / "scripts" / "README.md").read_text(encoding="utf-8")
HOUSE = (ROOT / "relu_demo" / "README.md").read_text(encoding="utf-8")
EXAMPLES = list(examples(TEXT))

RUN_ELSEWHERE = ["python scripts/run.py --compare", "python scripts/test.py", "pip install ."]
"""Commands that make environments: `.ci/run` runs them from a fresh clone."""

SCRIPTS = {
    "bench.py": (("--runs", "1", "version"), r"^--version / import click +wall time .* = +\d+\.\d\d  at most 2\.00"),
    "bench_check.py": (
        ("--times", "1", "--size", "4", "--calls", "20", "--pixels", "64"),
        r"^watched pass +wall time .* = +\d+\.\d\d  at most 1\.50",
    ),
    "bench_watch.py": (
        ("--turns", "1", "--steps", "20", "--pixels", "64"),
        r"^MLP with Adam +watched .* of anomaly mode = .* at most 1\.00",
    ),
    "check_oracle.py": (("--count", "10"), r"^ +10  networks$|^ +0  disagreements$"),
}
"""Scripts that measure, as short as they can be here, and a line of what they print."""


TAKES_LONG = re.compile(" (--try|check|--memory) ")
"""In the README's commands: a program or a network with its cure, and all situations measured."""


def comparable(output: str) -> str:
    """Without ids, addresses and the version of PyTorch."""
    return re.sub(r"PyTorch [^\s)]+", "PyTorch", without_addresses(output))


@pytest.mark.skipif(shutil.which("bash") is None, reason="the README's pipes are those of a Unix shell")
@pytest.mark.parametrize(
    "example",
    [
        pytest.param(each, id=each.command, marks=[pytest.mark.slow] if TAKES_LONG.search(each.command) else [])
        for each in EXAMPLES
    ],
)
def test_what_the_readme_shows_is_what_the_command_prints(example: Example) -> None:
    if "jq" in example.command and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    if ("modified by an" in example.output or " watch " in example.command) and not torch.__version__.startswith(
        "2.13."
    ):
        pytest.skip("the README has PyTorch 2.13's own words")
    assert comparable(example.run(PYTHON)) == comparable(example.output)


def test_the_readme_is_one_page() -> None:
    assert len(TEXT.splitlines()) <= 130


def test_the_readme_shows_the_picture_then_both_commands_then_the_three_calls() -> None:
    calls = ["lesson.svg", *RUN_ELSEWHERE[:2], "$ relu-demo --inplace", "$ relu-demo --compare", "--json --seed 7 | jq"]
    assert [TEXT.index(each) for each in calls] == sorted(TEXT.index(each) for each in calls)


def test_every_other_command_is_run_by_the_checks() -> None:
    shell = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```$", TEXT + MEASURED, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    assert sorted(shell) == sorted([*RUN_ELSEWHERE[:2], "python scripts/bench.py"])
    checks = (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace('"$python"', "python")
    for command in RUN_ELSEWHERE:
        run = re.escape(command.replace("pip install .", "-m pip install --quiet ."))
        assert re.search(run + "( --all)?$", checks, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(__import__("os"), "wait4"), reason="needs Unix")
@pytest.mark.parametrize("script", SCRIPTS)
def test_the_scripts_that_measure_run_and_print_what_the_readme_quotes(script: str) -> None:
    options, printed = SCRIPTS[script]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), *options],
        env=command_environment(),
        capture_output=True,
        text=True,
    )
    assert re.search(printed, done.stdout, re.MULTILINE), done
    assert done.returncode == int("TOO MUCH" in done.stdout)


def test_every_script_that_the_readmes_name_is_run() -> None:
    run = {*SCRIPTS, *re.findall(r"scripts/(\w+\.py)", " ".join(RUN_ELSEWHERE))}
    assert set(re.findall(r"python scripts/(\w+\.py)", TEXT + MEASURED)) == run


def test_the_python_in_the_readme_passes_a_safe_network_and_names_the_fault_of_another() -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    safe = torch.nn.Sequential(torch.nn.Conv2d(16, 16, 3), torch.nn.ReLU(inplace=True))
    exec(block, {"relu_demo": relu_demo, "model": safe, "torch": torch})
    with pytest.raises(AssertionError, match=r"FAULT relu1 \(ReLU\) faults\.py:19"):
        exec(block, {"relu_demo": relu_demo, "model": PreActivation(), "torch": torch})


def test_the_house_names_every_file_and_folder_of_the_package() -> None:
    named = set(re.findall(r"`((?:\w+/)?\w+(?:\.py|/))`", HOUSE))
    package = ROOT / "relu_demo"
    folders = {f"{path.parent.relative_to(package).as_posix()}/" for path in package.glob("*/**/*.py")}
    there = {path.name for path in package.glob("*.py")} | folders
    assert named - {"tests/test_house.py"} == there
