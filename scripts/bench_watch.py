"""Time and memory of training steps under `relu_demo.watch`, against the plain steps, measured side by side in one run.

Prints ratios of medians, each with the most that it may be, and beside them those of PyTorch's anomaly mode. Its exit
code is 1 where one is more.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _ratio import within
from _torch import need_torch

need_torch()
warnings.simplefilter("ignore")

import torch  # noqa: E402
from _networks import residual_50  # noqa: E402
from torch import nn  # noqa: E402

from relu_demo.api import watch  # noqa: E402
from relu_demo.network.meter import Meter  # noqa: E402

GROWTH = 200_000
"""Bytes of Python's own objects that they may grow by: less than a hundred bytes for each step."""
Step = Callable[[], None]


def residual_step(pixels: int) -> Step:
    """A training step of a 50-layer residual network at 1,3,pixels,pixels."""
    model, x = residual_50(), torch.randn(1, 3, pixels, pixels)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    return step


def small_step() -> Step:
    """A training step of a small multilayer perceptron with Adam."""
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    x, y = torch.randn(128, 64), torch.randint(0, 10, (128,))
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def seconds(step: Step, times: int, inside: Callable[[], AbstractContextManager[object]]) -> float:
    """Wall-clock seconds of some steps inside a context; the first there is not counted."""
    with inside():
        step()
        start = time.perf_counter()
        for _ in range(times):
            step()
        return time.perf_counter() - start


def side_by_side(step: Step, times: int, turns: int) -> dict[str, list[float]]:
    """Seconds of the same steps plain, watched and in anomaly mode, in turns."""
    ways: dict[str, Callable[[], AbstractContextManager[object]]] = {
        "plain": nullcontext,
        "watched": watch,
        "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(turns):
        for way, inside in ways.items():
            taken[way].append(seconds(step, times, inside))
    return taken


def peak(step: Step, inside: Callable[[], AbstractContextManager[object]]) -> int:
    """Highest number of live bytes of tensors that a step makes."""
    with inside():
        step()
        meter = Meter()
        with meter:
            step()
    return meter.peak


def growth(step: Step, steps: int) -> int:
    """Bytes of Python's objects by which the second half of many watched steps grows."""
    with watch():
        for _ in range(steps // 2):
            step()
        tracemalloc.start()
        for _ in range(50):  # what lives from step to step is made anew, and counted from now on
            step()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(steps // 2):
            step()
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    return after - before


def main() -> int:
    """Measures, prints, and gives 1 if anything is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9, help="how often each is measured")
    parser.add_argument("--steps", type=int, default=10_000, help="steps of the small network that must not grow")
    parser.add_argument("--pixels", type=int, default=224, help="height and width for the residual network")
    options = parser.parse_args()
    torch.set_num_threads(2)
    good = True
    for name, step, times, most in (
        ("residual, 50 layers", residual_step(options.pixels), 1, 1.3),
        ("small, Adam", small_step(), 100, 4.0),
    ):
        taken = side_by_side(step, times, options.turns)
        good &= within(name, "watched", taken["watched"], taken["plain"], most, "s")
        within(name, "anomaly mode", taken["anomaly"], taken["plain"], 99.0, "s")
    step = residual_step(options.pixels)
    good &= within(
        "residual, 50 layers",
        "peak memory",
        [peak(step, watch) / 2**20],
        [peak(step, nullcontext) / 2**20],
        1.05,
        "MiB",
    )
    grown = growth(small_step(), options.steps)
    print(f"{options.steps:,} watched steps of the small network: {grown:,} bytes more, at most {GROWTH:,}")
    return 0 if good and grown <= GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
