"""What every test may use: the command in this process, and the command as a process, warm or cold."""

from __future__ import annotations

import gc
import signal
import subprocess
from collections.abc import Iterator

import pytest
import torch
from support.commands import Demo, Result
from support.processes import COLD, PYTHON, command_environment, warm_server

from relu_demo.cli.run import run

torch.set_num_threads(1)  # the tensors are small: on a busy machine several threads only wait for one another
gc.freeze()  # as the command does: the check collects garbage, and what importing torch left is none
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell starts what runs in its background, and every process started from here would be deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtestloop() -> Iterator[None]:
    with warm_server():
        yield


@pytest.fixture
def demo(capsys: pytest.CaptureFixture[str]) -> Demo:
    """Runs the command in this process, where torch is loaded already."""

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
