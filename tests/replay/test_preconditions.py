"""What a session needs is told before anything is allocated, and not too little of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import cache

import pytest
import torch
from support.processes import command_environment

from relu_demo.errors import SetupError
from relu_demo.replay.preconditions import needed_bytes, require_capacity
from relu_demo.request import LISTED, Replay
from relu_demo.session.article import article
from relu_demo.session.sessions import SESSIONS

MEASURE = """
import os, resource, subprocess, sys
command = [sys.executable, "-m", "relu_demo", *sys.argv[1:]]
subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""
"""Runs the command and prints the most memory it took, in bytes, as Linux counts it."""


@cache
def peak(*arguments: str) -> int:
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments],
        env=command_environment(),
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    return int(measured.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count a process's memory otherwise")
@pytest.mark.parametrize(
    ("scenario", "shape", "dtype", "values"),
    [
        ("compare", (1, 64, 256, 256), "float32", LISTED),
        ("branches", (1, 1, 900, 900), "float32", LISTED),
        ("compare", (4, 3, 120, 120), "float32", 10**9),
    ],
    ids=str,
)
def test_no_more_memory_is_taken_than_told(
    scenario: str, shape: tuple[int, int, int, int], dtype: str, values: int
) -> None:
    request = Replay(scenario, 7, shape, dtype=dtype, listed=values)
    told = needed_bytes(SESSIONS[scenario](request), request, getattr(torch, dtype))
    arguments = [f"--{scenario}", "--seed", "7", "--json"]
    big = ["--shape", ",".join(map(str, shape)), "--dtype", dtype, "--values", str(values)]
    taken = peak(*arguments, *big) - peak(*arguments)
    assert taken <= told, (told, taken)


def test_listed_values_count(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Replay("compare", 7, (4, 3, 300, 300))
    monkeypatch.setattr("relu_demo.machine.free_memory.free_bytes", lambda device: 600_000_000)
    require_capacity(article(request), request)
    with pytest.raises(SetupError, match=r"needs about \S+ GB and 600 MB is free .* or fewer --values"):
        require_capacity(article(request), replace(request, listed=10**9))
