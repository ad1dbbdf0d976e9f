"""What a call in place does to autograd's graph beside its values, and the user's own graph, which a check keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.nets import Net, only, written
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from relu_demo.api import check


def linear(forward: Callable[..., Any]) -> nn.Module:
    torch.manual_seed(0)
    return Net(forward, out=nn.Linear(4, 2))


OTHER_WAYS = {
    "frozen": "y = net.fc(x); with torch.no_grad(): h = F.relu(y, inplace=True); return net.fc(h)",
    "frozen to the end": "y = net.fc(x); with torch.no_grad(): return F.relu(y, inplace=True)",
    "clipped": "y = net.fc(x); h = net.leaky(y); y.register_hook(lambda grad: grad.clamp(-0.1, 0.1)); return net.fc(h)",
    "clipped at its node": (
        "y = net.fc(x); h = net.leaky(y); "
        "y.grad_fn.register_hook(lambda grads, _: tuple(None if g is None else g + 1 for g in grads)); return net.fc(h)"
    ),
}


@pytest.mark.parametrize("forward", OTHER_WAYS.values(), ids=OTHER_WAYS)
def test_where_in_place_the_gradient_takes_another_way_it_is_a_fault(forward: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = written(tmp_path, *forward.split("; "))
    network.leaky = nn.LeakyReLU(0.1, inplace=True)
    (effect,) = only(check(network, torch.randn(3, 4))).effects
    assert (effect.kind, effect.note) == ("changes-result", "the result is the same, its gradients are not")


class Permuting(torch.autograd.Function):
    """Keeps its indices where PyTorch does not know of them: backward uses what they are then."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, index: Tensor) -> Tensor:
        ctx.index = index
        return weight[index]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return torch.zeros_like(gradient).index_copy(0, ctx.index, gradient), None


def permuted(net: Any, x: Tensor) -> Any:
    index = torch.arange(4)
    rows = Permuting.apply(net.fc.weight, index)  # type: ignore[no-untyped-call]
    index += torch.tensor([1, -1, 0, 0])
    return rows * x[0], index.clone()


def test_gradients_with_the_same_elements_in_another_order_differ() -> None:
    report = check(linear(permuted), torch.randn(3, 4))
    assert report.as_written.gradients_differ
    assert not report.ok


@pytest.mark.parametrize("other", ["nan", "half"])
def test_a_wrong_gradient_is_found_beside_one_that_is_nan_or_coarse(other: str) -> None:
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, by: Tensor) -> Tensor:
            ctx.by = by
            return x * by

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:
            return gradient * ctx.by, None

    def forward(net: Any, x: Tensor) -> Any:
        by = x + 0.01
        y = Scaled.apply(net.fc(x), by)  # type: ignore[no-untyped-call]
        by *= 1.05
        coarse = net.coarse * 1
        return y, by, coarse, (net.fc.bias[0] - net.fc.bias[0]).sqrt() if other == "nan" else coarse

    network: Any = linear(forward)
    network.coarse = nn.Parameter(torch.full((64,), 3.0, dtype=torch.bfloat16))
    report = check(network, torch.rand(3, 4))
    assert report.as_written.gradients_differ


def test_a_graph_that_the_user_still_needs_is_whole_after_a_check() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        return net.out(F.relu(net.fc(x) + net.state, inplace=True))

    network: Any = linear(forward)
    encoder = nn.Linear(4, 4)
    network.state = encoder(torch.randn(3, 4)).tanh()
    network.state.retain_grad()
    pending = network.state.square().sum()
    assert check(network, torch.randn(3, 4)).ok
    assert network.state.grad is None
    pending.backward()
    assert encoder.weight.grad is not None


def test_a_conjugated_result_goes_backward() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        return torch.complex(F.relu(net.fc(x), inplace=True), x).conj()

    assert check(linear(forward), torch.randn(3, 4)).ok
