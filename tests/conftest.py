"""What every test may use: the command in this process, and the command as a process, warm or cold."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import settings
from support.commands import Demo, Result
from support.processes import COLD, PYTHON, command_environment, warm_server
from support.tiers import ALL, examples

import relu_demo.cli.checking
from relu_demo.cli.run import run
from relu_demo.machine.pytorch import load_torch

os.environ["LANGUAGE"] = "en"  # whatever the reader's environment says
torch.set_num_threads(1)  # the tensors are small: on a busy machine several threads only wait for one another
load_torch()  # as the command does: the check collects garbage, and what importing torch left is none
# So a shell starts what runs in its background, and nohup; every process started from here would be deaf to them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for ignored in ("SIGHUP", "SIGQUIT"):
    if hasattr(signal, ignored) and signal.getsignal(getattr(signal, ignored)) is signal.SIG_IGN:
        signal.signal(getattr(signal, ignored), signal.SIG_DFL)


if torch.__version__ < "2.6":  # a TorchVersion compares numbers: `check` and `watch` take a newer one, and say so
    collect_ignore_glob = [
        *("network/*", "watching/*", "sanitizer/*", "edits/*", "cli/test_check.py", "cli/test_inputs.py"),
        *(
            "cli/test_watch.py",
            "views/test_check_view.py",
            "scripts/test_tools.py",
            "test_readme.py",
            "test_notebook.py",
        ),
    ]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Draws the same random numbers in each test, whichever tests ran before it, and the same `--seed`."""
    random.seed(0)
    torch.default_generator.manual_seed(0)  # without a word to the devices that this machine does not have
    gc.freeze()  # a check collects garbage, and what earlier tests have left is none of its


LEFT_OUT = pytest.StashKey[int]()
"""How many slow tests this run leaves out."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the slow tests, too")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--all"):
        os.environ[ALL] = "1"
    settings.register_profile("tiers", deadline=None, max_examples=examples(30))
    settings.load_profile("tiers")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the slow tests out, but for one that is named as FILE::TEST, unless all or a marker is asked for."""
    if torch.__version__ < "2.6":
        items[:] = [item for item in items if "check" not in item.name]
    if config.getoption("--all") or config.getoption("markexpr") or any("::" in each for each in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if item not in slow]
    config.hook.pytest_deselected(items=slow)
    config.stash[LEFT_OUT] = len(slow)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # a worker of pytest-xdist, whose summary nobody sees
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes over what a worker of pytest-xdist has counted: each collects all tests."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"{left_out} slow tests left out: python scripts/test.py --all runs them, too")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtestloop() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # a check collects garbage, and what the tests are made of is none
    with warm_server():
        yield


@pytest.fixture
def demo(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Demo:
    """Runs the command in this process, where torch is loaded already. No cure is tried: that is another process."""
    monkeypatch.setattr(relu_demo.cli.checking, "Trial", lambda request: None)

    def call(*arguments: str) -> Result:
        capsys.readouterr()
        code = run(arguments)
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    return call


@pytest.fixture
def process() -> Demo:
    """Runs the command as a process of its own, in pipes."""
    return in_pipes(PYTHON)


@pytest.fixture
def cold() -> Demo:
    """Runs the command as a process of its own that loads PyTorch itself, in pipes."""
    return in_pipes(COLD)


def in_pipes(python: list[str]) -> Demo:
    def call(*arguments: str, **environment: str) -> Result:
        done = subprocess.run(
            [*python, "-m", "relu_demo", *arguments],
            env=command_environment(**environment),
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call
