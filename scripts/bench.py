"""Measures relu-demo against the same session as a bare script, in turn in one run: python scripts/bench.py.

Prints ratios of medians of whole processes, wall time and peak memory, each with the most that it may be. Its exit
code is 1 where one is more. Needs Unix, whose `wait4` tells a child's peak memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from _ratio import within
from _torch import need_torch

from relu_demo.request import Replay
from relu_demo.session.article import article

DEMO = [sys.executable, "-m", "relu_demo"]
LARGE = (8, 3, 1024, 1024)


@dataclass(frozen=True)
class Case:
    """Two commands to hold against each other, and the most that the first may take of the second's time and memory."""

    name: str
    command: Sequence[str]
    base: Sequence[str]
    time: float
    memory: float | None = None


@dataclass(frozen=True)
class Run:
    """One whole process: wall time in seconds, peak resident memory in MiB."""

    seconds: float
    memory: float


def bare_script(request: Replay) -> str:
    """The comparison's lines as one would write them in a script: what the REPL would echo is printed."""
    lines = [line.source for part in article(request).parts for line in part.lines]
    silent = ("import ", "torch.manual_seed")
    return "\n".join(line if " = " in line or line.startswith(silent) else f"print({line})" for line in lines)


def measure(command: Sequence[str]) -> Run:
    """Runs a command to its end, its output thrown away. An exit code above 2 ends the benchmark."""
    if sys.platform == "win32":
        sys.exit("bench: Windows does not tell a process's peak memory; run this on Linux or macOS")
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 2):
        sys.exit(f"bench: {' '.join(command)} ended with {process.returncode}")
    return Run(seconds, usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2))


def compare(case: Case, runs: int) -> bool:
    """Runs both commands of a case in turn, prints the ratios and tells whether they are small enough."""
    measure(case.base), measure(case.command)  # once for the disk's sake
    pairs = [(measure(case.command), measure(case.base)) for _ in range(runs)]
    ours, base = ([pair[side] for pair in pairs] for side in (0, 1))
    time = within(case.name, "wall time", [run.seconds for run in ours], [run.seconds for run in base], case.time, "s")
    if case.memory is None:
        return time
    memory = [run.memory for run in ours], [run.memory for run in base]
    return within(case.name, "peak memory", *memory, case.memory, "MiB") and time


def main() -> None:
    """Runs every case, or those whose name has one of the given words in it."""
    need_torch()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only the cases with one of these words in their name")
    parser.add_argument("--runs", type=int, default=9, help="how often each command is run (default: 9)")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small.py"), Path(folder, "large.py")
        small.write_text(bare_script(Replay("compare", 7)))
        large.write_text(bare_script(Replay("compare", 7, shape=LARGE)))
        shape = ",".join(map(str, LARGE))
        click = [sys.executable, "-c", "import click"]
        cases = [
            Case(
                "--compare / bare script", [*DEMO, "--compare", "--seed", "7"], [sys.executable, str(small)], 0.85, 1.05
            ),
            Case("--help / import click", [*DEMO, "--help"], click, 2.0),
            Case("--version / import click", [*DEMO, "--version"], click, 2.0),
            Case("usage error / import click", [*DEMO, "--compare", "--inplace"], click, 2.0),
            Case(
                f"--shape {shape} / bare script",
                [*DEMO, "--compare", "--seed", "7", "--shape", shape],
                [sys.executable, str(large)],
                1.3,
                1.3,
            ),
        ]
        torch = [sys.executable, "-c", "import torch"]
        cases.append(Case("--memory / import torch", [*DEMO, "--memory"], torch, 3.0))
        chosen = [case for case in cases if not options.words or any(word in case.name for word in options.words)]
        results = [compare(case, options.runs) for case in chosen]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
