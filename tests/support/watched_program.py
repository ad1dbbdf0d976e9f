"""`relu-demo watch` as a process that reports to a file, so that nothing is added to what the program prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.processes import COLD, command_environment

FAULT = """\
import torch
x = torch.ones(2, requires_grad=True)
y = x.exp()
y.mul_(2)
try:
    y.sum().backward()
except RuntimeError:
    print("raised", flush=True)
"""
"""What a watch finds one thing in: `y`, saved at line 3, written at line 4, needed at line 6."""
IN_A_FUNCTION = "def fault():\n" + "".join(f"    {line}\n" for line in FAULT.splitlines())
"""The same, one line further down."""


@dataclass(frozen=True)
class Watched:
    """How a watched program has ended, what it has printed, and the report."""

    code: int
    out: str
    err: str
    report: Any

    @property
    def lines(self) -> list[tuple[int, int, int]]:
        """For each finding the lines at which it was saved, overwritten and raised."""
        return [
            (each["saved_by"]["line"], each["overwritten_by"][0]["site"]["line"], each["raised_at"]["line"])
            for each in self.report["findings"]
        ]


def watch(folder: Path, *program: str, **more: str) -> Watched:
    """Run a program under watch in a folder, with `more` in the environment."""
    return watch_in(command_environment(**more), folder, *program)


def watch_in(environment: dict[str, str], folder: Path, *program: str) -> Watched:
    """Run a program under watch in a folder, in an environment that has nothing else."""
    done = subprocess.run(
        command(folder, program), cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=240
    )
    return Watched(done.returncode, done.stdout, done.stderr, report_of(folder))


def screen_of(folder: Path, program: str = "train.py") -> tuple[int, str]:
    """The exit code of a program under watch, and what then stands on the screen, in one line."""
    done = subprocess.run(
        [*COLD, "-m", "relu_demo", "watch", program],
        cwd=folder,
        env=command_environment(COLUMNS="300"),
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )
    return done.returncode, " ".join(done.stderr.split())


def command(folder: Path, program: Sequence[str]) -> list[str]:
    """The command line that watches a program and reports to a file."""
    return [*COLD, "-m", "relu_demo", "watch", "--save", str(folder / "report.json"), *program]


def report_of(folder: Path) -> Any:
    """The report, once the command has ended."""
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def plainly(folder: Path, *program: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `python PROGRAM` without a watch."""
    return subprocess.run(
        [sys.executable, *program],
        cwd=folder,
        env=command_environment(**more),
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )


def without_numpy(text: str) -> str:
    """What was printed, without PyTorch's own two lines where NumPy is not installed."""
    lines = text.splitlines(keepends=True)
    told = [at for at, line in enumerate(lines) if "Failed to initialize NumPy" in line]
    return "".join(line for at, line in enumerate(lines) if at not in told and at - 1 not in told)


def temporary_folder(folder: Path) -> dict[str, str]:
    """The variable that has temporary files made in a folder of one's own, which is made."""
    (folder / "tmp").mkdir(exist_ok=True)
    return {"TMPDIR": str(folder / "tmp")}


def left_in(folder: Path) -> list[str]:
    """What is left in that folder of the command's own."""
    return [name for name in os.listdir(folder / "tmp") if "relu-demo" in name]
