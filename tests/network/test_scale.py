"""How much a check costs, by counting and measuring; and networks larger than memory."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from support.nets import Net
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from relu_demo.api import check
from relu_demo.network.check import examine
from relu_demo.network.meter import Meter
from relu_demo.network.state.snapshot import Snapshot
from relu_demo.network.suspects import Suspects
from relu_demo.sanitizer.layers import Layers
from relu_demo.sanitizer.observer import Observer


class Silent(nn.Module):
    """Reads what it has overwritten."""

    def __init__(self, size: int, **where: Any) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(size, size, **where), nn.Linear(size, size, **where)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x)
        result: Tensor = self.fc2(self.relu(h)) + h
        return result


def test_hundreds_of_calls_without_suspects_need_two_forwards() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        for layer in net.layers:
            y = layer(net.act(layer(x)))
            y += x
            x = net.act(y)
        return x

    layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(100))
    report = check(Net(forward, layers=layers), torch.randn(2, 4))
    assert (len(report.calls), report.ok) == (300, True)
    assert (report.forwards, report.backwards) == (2, 1)


def test_one_more_run_for_each_suspect() -> None:
    torch.manual_seed(1)
    units = [Silent(4) for _ in range(5)]
    report = check(nn.Sequential(*units), torch.randn(2, 4))
    # Watched; twice out of place, for the noise; five suspects; as written, and that on copies too.
    assert report.forwards == 1 + 2 + 5 + 2


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * 2


def test_a_function_at_the_end_makes_only_what_is_alive_then_a_suspect() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        for layer in net.layers:
            y = layer(x)
            x = F.relu(y, inplace=True)
        return Twice.apply(x)  # type: ignore[no-untyped-call]

    report = check(Net(forward, layers=nn.ModuleList(nn.Linear(4, 4) for _ in range(50))), torch.randn(2, 4))
    assert report.ok
    assert report.forwards <= 5


def test_checkpoints_are_right_together_if_they_are_as_written() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        for layer in net.layers:
            x = checkpoint(lambda x, layer=layer: F.relu(layer(x), inplace=True), x, use_reentrant=False)
        return x

    network = Net(forward, layers=nn.ModuleList(nn.Linear(4, 4) for _ in range(8)))
    report = check(network, torch.randn(2, 4, requires_grad=True))
    assert not report.has_fault
    assert report.forwards <= 4


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    units = nn.Sequential(Silent(4), Silent(4))
    examine(units, (torch.randn(2, 4),), {}, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_the_watched_pass_keeps_nothing_that_the_forward_does_not() -> None:
    network = nn.Sequential(*(Silent(512) for _ in range(8)))
    x = torch.randn(64, 512)

    def peak(watched: bool) -> int:
        snapshot = Snapshot(network)
        with Meter() as meter:
            if watched:
                with Observer(Suspects(network, snapshot, [x], Layers())):
                    result = network(x)
            else:
                result = network(x)
        del result
        return int(meter.peak)

    assert peak(watched=True) <= 1.2 * peak(watched=False)


def test_on_meta_what_needs_no_values_is_settled() -> None:
    network = nn.Sequential(
        nn.Linear(4, 4, device="meta"),
        nn.Sigmoid(),
        nn.ELU(inplace=True),
        nn.Linear(4, 4, device="meta"),
        nn.ReLU(True),
    )
    report = check(network, torch.empty(8, 4, device="meta"))
    (effect,) = report.calls[0].effects
    assert (effect.kind, effect.settled) == ("breaks-backward", True)
    assert report.calls[1].safe
    safe = nn.Sequential(nn.Linear(4, 4, device="meta"), nn.ReLU(inplace=True))
    assert check(safe, torch.empty(8, 4, device="meta")).ok
    (effect,) = check(nn.ReLU(True), torch.empty(4, device="meta", requires_grad=True)).calls[0].effects
    assert (effect.kind, effect.settled) == ("refused", True)
