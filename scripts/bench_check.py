"""Time and memory of `relu_demo.check` against the network's own forward, measured side by side in one run."""

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

from _torch import need_torch

need_torch()
warnings.simplefilter("ignore")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from relu_demo.network.check import check  # noqa: E402
from relu_demo.network.memory import Meter  # noqa: E402
from relu_demo.network.place import Places  # noqa: E402
from relu_demo.network.settle import Runner  # noqa: E402
from relu_demo.network.snapshot import Snapshot  # noqa: E402
from relu_demo.network.watch import Watch  # noqa: E402


class Bottleneck(nn.Module):
    """The residual unit of a 50-layer residual network (He et al., https://arxiv.org/abs/1512.03385)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.down: nn.Module | None = None
        if stride != 1 or channels != 4 * width:
            self.down = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        """Image features to image features."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x if self.down is None else self.down(x)
        result: Tensor = self.relu(y)
        return result


def residual_50() -> nn.Module:
    """ResNet-50: 49 in-place ReLUs."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    layers.append(nn.MaxPool2d(3, 2, 1))
    channels = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Bottleneck(channels, width, stride if i == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


def thousand(channels: int) -> nn.Module:
    """1,000 in-place calls, each after a convolution, none of them a suspect."""
    layers = [m for _ in range(1000) for m in (nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True))]
    return nn.Sequential(*layers)


def watched(model: nn.Module, x: Tensor) -> Callable[[], object]:
    """One watched pass, as check makes it, without what comes before and after."""
    kept = Snapshot(model)
    runner = Runner(model, (x,), {}, kept)

    def run() -> object:
        watch = Watch(kept, Places(model, Runner.forward.__code__), [x], frozenset())
        return watch.forward(lambda: runner.forward(((x,), {})))

    return run


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock seconds of one run."""
    start = time.perf_counter()
    result = run()
    taken = time.perf_counter() - start
    del result
    return taken


def side_by_side(a: Callable[[], object], b: Callable[[], object], times: int) -> tuple[float, float]:
    """Median seconds of each, taken in turns."""
    seconds(a), seconds(b)
    pairs = [(seconds(a), seconds(b)) for _ in range(times)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def peak(run: Callable[[], object]) -> int:
    """Highest number of live bytes that the run itself makes."""
    with Meter() as meter:
        result = run()
    del result
    return int(meter.peak)


def resident_in_a_process_of_its_own(which: str) -> int:
    """Bytes that one forward adds to the highest resident memory of a fresh process; 0 where that is not told."""
    done = subprocess.run([sys.executable, __file__, "--resident", which], capture_output=True, text=True, check=True)
    return int(done.stdout)


def resident(which: str) -> int:
    """What the process of `resident_in_a_process_of_its_own` measures: own forward, or the watched pass."""
    model, x = residual_50().train(), torch.randn(1, 3, 224, 224)
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


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7, help="runs of each, in turns")
    parser.add_argument("--size", type=int, default=32, help="height and width for the network of 1,000 calls")
    parser.add_argument("--resident", choices=("own", "watched"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.resident:
        print(resident(options.resident))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")

    torch.manual_seed(0)
    model, x = residual_50().train(), torch.randn(1, 3, 224, 224)
    own, watch = side_by_side(lambda: model(x), watched(model, x), options.times)
    print(f"50-layer residual network, 1,3,224,224, training: forward {own * 1e3:.0f} ms")
    print(f"  watched pass   {watch * 1e3:7.0f} ms  {watch / own:5.2f} forwards  (at most 1.5)")
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    mine, theirs = peak(lambda: model(x)), peak(watched(model, x))
    print(f"  peak of activations {mine / 2**20:.1f} MiB, watched {theirs / 2**20:.1f} MiB: {theirs / mine:.3f} of it")
    print(f"  with the weights: {(theirs + weights) / (mine + weights):.3f} of its memory  (at most 1.2)")
    highest = {which: resident_in_a_process_of_its_own(which) for which in ("own", "watched")}
    if all(highest.values()):
        ratio = highest["watched"] / highest["own"]
        shown = {which: f"{size / 2**20:.0f} MiB" for which, size in highest.items()}
        print(
            f"  resident at its highest, a process each: {shown['own']}, watched {shown['watched']}: {ratio:.3f} of it"
        )
    whole = seconds(lambda: check(model, x))
    report = check(model, x)
    print(f"  whole check    {whole * 1e3:7.0f} ms  {whole / own:5.2f} forwards")
    print(f"  ok {report.ok}, {len(report.calls)} calls")

    model, x = thousand(16).train(), torch.randn(1, 16, options.size, options.size)
    own, whole = side_by_side(lambda: model(x), lambda: check(model, x), max(3, options.times // 2))
    report = check(model, x)
    print(
        f"1,000 in-place calls after 1,000 convolutions, 1,16,{options.size},{options.size}: forward {own * 1e3:.0f} ms"
    )
    print(f"  whole check    {whole * 1e3:7.0f} ms  {whole / own:5.2f} forwards  (at most 10; brute force over 2,000)")
    print(f"  ok {report.ok}, {len(report.calls)} calls, {report.forwards} forwards and {report.backwards} backwards")


if __name__ == "__main__":
    main()
