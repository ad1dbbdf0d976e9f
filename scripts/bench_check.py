"""Time and memory of `relu_demo.check` against the network's own forward, measured side by side in one run.

Prints ratios of medians, each with the most that it may be. Its exit code is 1 where one is more.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
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

from relu_demo.api import check  # noqa: E402
from relu_demo.network.meter import Meter  # noqa: E402
from relu_demo.network.state.snapshot import Snapshot  # noqa: E402
from relu_demo.network.suspects import Suspects  # noqa: E402
from relu_demo.sanitizer.layers import Layers  # noqa: E402
from relu_demo.sanitizer.observer import Observer  # noqa: E402

MIB = 2**20
FAULTS, MOST_FORWARDS = 100, 110


def chain(channels: int, calls: int) -> nn.Module:
    """So many in-place calls, each after a convolution, none of them a suspect."""
    layers = [m for _ in range(calls) for m in (nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True))]
    return nn.Sequential(*layers)


class Faults(nn.Module):
    """So many calls in place, each over what is read afterwards."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(units))
        self.relu = nn.LeakyReLU(0.1, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Features to features."""
        x = x * 1
        for layer in self.layers:
            x = x + layer(self.relu(x))
        return x


def watched(model: nn.Module, x: Tensor) -> Callable[[], object]:
    """One watched pass, as check makes it, without what comes before and after."""
    snapshot = Snapshot(model)

    def run() -> object:
        with Observer(Suspects(model, snapshot, [x], Layers())):
            return model(x)

    return run


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock seconds of one run."""
    start = time.perf_counter()
    result = run()
    taken = time.perf_counter() - start
    del result
    return taken


def side_by_side(a: Callable[[], object], b: Callable[[], object], times: int) -> tuple[list[float], list[float]]:
    """Seconds of each run, taken in turns."""
    seconds(a), seconds(b)
    pairs = [(seconds(a), seconds(b)) for _ in range(times)]
    return [p[0] for p in pairs], [p[1] for p in pairs]


def peak(run: Callable[[], object]) -> int:
    """Highest number of live bytes that the run itself makes."""
    with Meter() as meter:
        result = run()
    del result
    return int(meter.peak)


def resident_in_a_process_of_its_own(which: str, pixels: int) -> int:
    """Bytes that one forward adds to the highest resident memory of a fresh process; 0 where that is not told."""
    command = [sys.executable, __file__, "--resident", which, "--pixels", str(pixels)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def resident(which: str, pixels: int) -> int:
    """What the process of `resident_in_a_process_of_its_own` measures: own forward, or the watched pass."""
    model, x = residual_50().train(), torch.randn(1, 3, pixels, pixels)
    run = watched(model, x) if which == "watched" else lambda: model(x)
    model(torch.randn(2, 3, 32, 32))
    before = high_water()
    result = run()
    after = high_water()
    del result
    return after - before


def high_water() -> int:
    """Highest resident memory of this process so far, in bytes; 0 where there is no /proc."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def main() -> int:
    """Measures, prints, and gives 1 if a ratio is too large."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=7, help="runs of each, in turns")
    parser.add_argument("--size", type=int, default=32, help="height and width for the network of 1,000 calls")
    parser.add_argument("--calls", type=int, default=1000, help="in-place calls of that network")
    parser.add_argument("--pixels", type=int, default=224, help="height and width for the residual network")
    parser.add_argument("--resident", choices=("own", "watched"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.resident:
        print(resident(options.resident, options.pixels))
        return 0
    torch.set_num_threads(1)  # of two, one waits by turning
    print(f"torch {torch.__version__}")

    torch.manual_seed(0)
    pixels, calls = options.pixels, options.calls
    model, x = residual_50().train(), torch.randn(1, 3, pixels, pixels)
    print(f"50-layer residual network, 1,3,{pixels},{pixels}, training, against its own forward:")
    own, watch = side_by_side(lambda: model(x), watched(model, x), options.times)
    results = [within("watched pass", "wall time", watch, own, 1.5, "s")]
    weights = sum(p.numel() * p.element_size() for p in model.parameters()) / MIB
    mine, theirs = peak(lambda: model(x)) / MIB, peak(watched(model, x)) / MIB
    results.append(within("watched pass", "peak memory", [theirs + weights], [mine + weights], 1.2, "MiB"))
    print(f"  without {weights:.1f} MiB of weights: {theirs:.1f} MiB / {mine:.1f} MiB = {theirs / mine:.3f}")
    highest = {which: resident_in_a_process_of_its_own(which, pixels) for which in ("own", "watched")}
    if all(highest.values()):
        ratio = highest["watched"] / highest["own"]
        shown = {which: f"{size / MIB:.0f} MiB" for which, size in highest.items()}
        print(f"  resident at its highest, a process each: {shown['watched']} / {shown['own']} = {ratio:.3f}")
    whole = seconds(lambda: check(model, x))
    report = check(model, x)
    print(f"  whole check: {whole / statistics.median(own):.2f} forwards; ok {report.ok}, {len(report.calls)} calls")

    model, x = chain(16, calls).train(), torch.randn(1, 16, options.size, options.size)
    shape = f"1,16,{options.size},{options.size}"
    print(f"{calls:,} in-place calls after {calls:,} convolutions, {shape}, against its own forward:")
    own, checked = side_by_side(lambda: model(x), lambda: check(model, x), max(3, options.times // 2))
    results.append(within("whole check", "wall time", checked, own, 10, "s"))
    report = check(model, x)
    print(f"  ok {report.ok}, {len(report.calls)} calls, {report.forwards} forwards and {report.backwards} backwards")
    print(f"  (brute force: over {2 * calls:,} forwards)")
    report = check(Faults(FAULTS).train(), torch.randn(4, 8))
    found = sum(not call.safe for call in report.calls)
    results.append(report.forwards <= MOST_FORWARDS)
    print(f"{FAULTS} faults: {found} found in {report.forwards} forwards (at most {MOST_FORWARDS})")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
