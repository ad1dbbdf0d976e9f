"""Time and memory of training steps under `relu_demo.watch`, against the plain steps, measured side by side in one run.

Prints ratios of medians of CPU time, to the plain steps and to PyTorch's anomaly mode, which is the most that it may
cost. Its exit code is 1 where one is more.
"""

from __future__ import annotations

import argparse
import gc
import resource
import subprocess
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
from torch import Tensor, nn  # noqa: E402

from relu_demo.api import watch  # noqa: E402
from relu_demo.network.meter import Meter  # noqa: E402

GROWTH = 200_000
"""Bytes of Python's own objects that they may grow by: two for each of 100,000 steps."""
CONVOLUTIONS = 1.15
MEMORY = 1.05
Step = Callable[[], None]


def training(model: nn.Module, *inputs: Tensor, optimizer: str = "Adam") -> Step:
    """Return a training step of a network."""
    stepping: torch.optim.Optimizer = getattr(torch.optim, optimizer)(model.parameters(), lr=0.001)

    def step() -> None:
        stepping.zero_grad()
        model(*inputs).square().mean().backward()
        stepping.step()

    return step


def residual_step(pixels: int) -> Step:
    """Return a step of a 50-layer residual network at 1,3,pixels,pixels."""
    return training(residual_50(), torch.randn(1, 3, pixels, pixels), optimizer="SGD")


def small_step() -> Step:
    """Return a step of a small multilayer perceptron with Adam."""
    return training(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1)), torch.randn(8, 16))


def transformer_step() -> Step:
    """Return a step of two small layers of a transformer."""
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return training(nn.TransformerEncoder(layer, 2), torch.randn(2, 16, 32), optimizer="AdamW")


class UNet(nn.Module):
    """Predicts the noise in a picture, as in a diffusion model; its activations are in place."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()

        def block(given: int, made: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(given, made, 3, padding=1), nn.GroupNorm(8, made), nn.SiLU(inplace=True))

        self.down, self.deep = block(3, width), block(width, 2 * width)
        self.up, self.out = block(3 * width, width), nn.Conv2d(width, 3, 3, padding=1)
        self.time = nn.Linear(16, 2 * width)

    def forward(self, picture: Tensor, moment: Tensor) -> Tensor:
        """Return the noise."""
        skip = self.down(picture)
        deep = self.deep(nn.functional.avg_pool2d(skip, 2)) + self.time(moment)[:, :, None, None]
        deep = nn.functional.interpolate(deep, scale_factor=2)
        return self.out(self.up(torch.cat([skip, deep], 1)))  # type: ignore[no-any-return]


def diffusion_step() -> Step:
    """Return a step of a small UNet."""
    return training(UNet(), torch.randn(2, 3, 64, 64), torch.randn(2, 16))


def recurrent_step() -> Step:
    """Return a step that calls an LSTM cell in a loop, and writes each state into its row."""
    cell, x = nn.LSTMCell(8, 16), torch.randn(30, 4, 8)
    optimizer = torch.optim.Adam(cell.parameters())

    def step() -> None:
        hidden = state = torch.zeros(4, 16)
        out = torch.zeros(30, 4, 16)
        for moment in range(30):
            hidden, state = cell(x[moment], (hidden, state))
            out[moment] = hidden
        optimizer.zero_grad()
        out.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def data_step() -> Step:
    """Return a step of SGD by hand, through `.data`, over 100 parameters."""
    parameters = [nn.Parameter(torch.randn(8, 8)) for _ in range(100)]

    def step() -> None:
        torch.stack([(each * each).sum() for each in parameters]).sum().backward()  # type: ignore[no-untyped-call]
        for each in parameters:
            assert each.grad is not None
            each.data.add_(each.grad, alpha=-0.01)
            each.grad.zero_()

    return step


def deep_step() -> Step:
    """Return a step through a recursion 150 deep, with 50 writes to a buffer."""
    weight, x, seen = nn.Parameter(torch.randn(4, 4) / 4), torch.randn(2, 4), torch.zeros(50, 2, 4)

    def descend(depth: int, hidden: Tensor) -> Tensor:
        if not depth:
            return hidden
        hidden = (hidden @ weight).tanh()
        if depth % 3 == 0:
            seen[depth // 3 - 1] = hidden.detach()
        return descend(depth - 1, hidden)

    def step() -> None:
        descend(150, x).sum().backward()  # type: ignore[no-untyped-call]
        weight.grad = None

    return step


def lists_step() -> Step:
    """Return a step with 20 lists of 250 tensors in scope, which writes to one tensor of each."""
    lists = [[torch.randn(4) for _ in range(250)] for _ in range(20)]
    weight = nn.Parameter(torch.randn(4))

    def step() -> None:
        for tensors in lists:
            tensors[0].mul_(0.9)
        torch.stack([(weight * tensors[0]).sum() for tensors in lists]).sum().backward()  # type: ignore[no-untyped-call]
        weight.grad = None

    return step


def seconds(step: Step, times: int, inside: Callable[[], AbstractContextManager[object]]) -> float:
    """Return the CPU seconds of some steps inside a context; the first there is not counted."""
    with inside():
        step()
        start = time.process_time()
        for _ in range(times):
            step()
        return time.process_time() - start


def side_by_side(step: Step, times: int, turns: int) -> dict[str, list[float]]:
    """Return the seconds of the same steps plain, watched and in anomaly mode, in turns."""
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
    """Return the highest number of live bytes of tensors that a step makes."""
    with inside():
        step()
        meter = Meter()
        with meter:
            step()
    return meter.peak


def evaluated() -> None:
    """Run forwards with grad that nobody goes backward through, and print the peak of this process's memory."""
    net = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.Sigmoid())
    with watch() if "watched" in sys.argv else nullcontext():
        for _ in range(8):
            net(torch.randn(4096, 1024)).mean().item()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def evaluation_peak(*words: str) -> float:
    """Return the peak of a process that evaluates, in MiB."""
    return int(subprocess.check_output([sys.executable, __file__, "--evaluate", *words])) / 1024


def growth(step: Step, steps: int) -> int:
    """Return the bytes of Python's objects by which the second half of many watched steps grows."""
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
    """Measure, print, and return 1 if anything is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9, help="how often each is measured")
    parser.add_argument("--steps", type=int, default=10_000, help="steps of the small network that must not grow")
    parser.add_argument("--pixels", type=int, default=224, help="height and width for the residual network")
    parser.add_argument("--evaluate", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.evaluate is not None:
        evaluated()
        return 0
    torch.set_num_threads(1)  # of two, one waits by turning, which is CPU time, too
    good = True
    for name, step, times, most in (
        ("residual, 50 layers", residual_step(options.pixels), 1, CONVOLUTIONS),
        ("diffusion UNet", diffusion_step(), 2, CONVOLUTIONS),
        ("MLP with Adam", small_step(), 100, None),
        ("small transformer", transformer_step(), 10, None),
        ("LSTM cell in a loop", recurrent_step(), 5, None),
        ("SGD by .data, 100 parameters", data_step(), 10, None),
        ("recursion 150 deep, 50 writes", deep_step(), 5, None),
        ("20 lists of 250 tensors", lists_step(), 20, None),
    ):
        taken = side_by_side(step, times, options.turns)
        good &= within(name, "watched", taken["watched"], taken["anomaly"], 1.0, "s", "anomaly mode")
        good &= within(name, "watched", taken["watched"], taken["plain"], most or 99.0, "s", "plain")
    step = residual_step(options.pixels)
    watched, plain = (peak(step, inside) / 2**20 for inside in (watch, nullcontext))
    good &= within("residual, 50 layers", "peak memory", [watched], [plain], MEMORY, "MiB", "plain")
    watched, plain = evaluation_peak("watched"), evaluation_peak()
    good &= within("evaluation with grad", "peak memory", [watched], [plain], MEMORY, "MiB", "plain")
    grown = growth(small_step(), options.steps)
    print(f"{options.steps:,} watched steps of the small network: {grown:,} bytes more, at most {GROWTH:,}")
    return 0 if good and grown <= GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
