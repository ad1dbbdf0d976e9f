"""What every test may use: the command in this process, the command as a process, and the shape of its output."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from relu_demo.cli.command import run

ROOT = Path(__file__).parent.parent

torch.set_num_threads(1)  # the tensors are small: on a busy machine several threads only wait for one another
gc.freeze()  # as the command does: the check collects garbage, and what importing torch left is none
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell starts what runs in its background, and every process started from here would be deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Result:
    """What a run of the command gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, read as strict JSON."""
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


Demo = Callable[..., Result]


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

    def call(*arguments: str, **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "relu_demo", *arguments],
            env=command_environment(**environment),
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


def command_environment(**more: str) -> dict[str, str]:
    """This process's environment without what steers a terminal, with relu_demo to be found, and with `more`."""
    steering = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "PYTHONIOENCODING", "LC_ALL", "LANG"}
    kept = {name: value for name, value in os.environ.items() if name not in steering}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def without_addresses(text: str) -> str:
    """The text with every id and every address replaced: they are the only thing that a seed does not fix.

    In decimal they are whole numbers of seven digits or more: a Python that is not position-independent has its heap
    from 4 MiB on. The digits behind a decimal point stay, for they are a value's.
    """
    return re.sub(r"(?<![\w.])(?:0x[0-9a-f]+|\d{7,})(?!\w|\.\d)", "ADDRESS", text)
