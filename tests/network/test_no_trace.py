"""A check leaves no trace: network, tensors, hooks and random numbers are as before, bit for bit."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from relu_demo.network.check import check
from relu_demo.network.errors import NetworkError


class Busy(nn.Module):
    """Everything that a forward can leave behind."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5, inplace=True)
        self.act = nn.LeakyReLU(0.1, inplace=True)
        self.table = nn.Embedding(5, 4, max_norm=0.1)  # writes to its weight in the forward
        self.register_buffer("seen", torch.zeros(4))
        self.count = 0
        self.history: list[Any] = [{"a": 1}]
        self.fail = False
        self.unregistered = torch.ones(4)
        self.register_buffer("joined", torch.zeros(3, 4))

    def forward(self, x: Tensor) -> Any:
        self.count += 1
        self.history.append(self.count)
        self.history[0]["a"] += 1
        self.features = self.fc(x)
        self.seen = self.seen + self.features.detach().sum(0)
        self.unregistered.add_(1)
        self.get_buffer("joined").add_(self.features)  # gives the buffer a grad_fn
        F.relu(self.seen, inplace=True)
        self.fc.weight.data.mul_(0.9)
        self.fc.weight.requires_grad_(False)
        self.norm.eval()
        y = self.drop(self.act(self.norm(self.features)))
        y = y + self.table(torch.arange(4)).sum(0) + random.random() + torch.rand(4)
        self.extra = nn.Linear(2, 2)
        x.data.mul_(2)
        if self.fail:
            raise ValueError("as asked")
        return F.relu(torch.sigmoid(self.features), inplace=True) + y + F.elu(x, inplace=True)


def everything(network: Busy) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, module in network.named_modules():
        for name, value in module.__dict__.items():
            if name not in ("_modules", "_parameters", "_buffers"):
                found[f"{path}/{name}"] = copy.deepcopy(value)
        found[f"{path} order"] = list(module.__dict__)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        found[name] = tensor.detach().clone(), tensor.requires_grad, tensor.is_leaf, id(tensor), tensor.data_ptr()
        found[f"{name}.grad"] = (
            None if not tensor.is_leaf or tensor.grad is None else (tensor.grad.clone(), id(tensor.grad))
        )
    found["rng"] = torch.get_rng_state(), random.getstate()
    return found


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("train", [None, True, False])
def test_bit_for_bit(fail: bool, train: bool | None) -> None:
    torch.manual_seed(0)
    network = Busy()
    network.fail = fail
    network.fc(torch.randn(2, 4)).sum().backward()  # there are gradients
    x = torch.randn(3, 4)
    before, x_before, version = everything(network), x.clone(), x._version
    if fail:
        with pytest.raises(NetworkError, match=r"ValueError: as asked \(.*test_no_trace.py:\d+\)"):
            check(network, x, train=train)
    else:
        assert not check(network, x, train=train).ok
    after = everything(network)
    assert before.keys() == after.keys()
    assert [name for name in before if not same(before[name], after[name])] == []
    assert torch.equal(x, x_before)
    assert x._version == version
    assert not hasattr(network, "features")


def test_twice_gives_the_same_report() -> None:
    torch.manual_seed(0)
    network, x = Busy(), torch.randn(3, 4)
    assert check(network, x) == check(network, x)


def test_the_callers_graph_still_runs_backward() -> None:
    network = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4))
    leaf = torch.randn(2, 4, requires_grad=True)
    x = torch.sigmoid(leaf)
    check(network, x)
    assert leaf.grad is None
    x.sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None


def test_an_optimizer_in_backward_takes_no_step() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    weight = network.get_parameter("0.weight")
    if not hasattr(weight, "register_post_accumulate_grad_hook"):
        pytest.skip("this PyTorch has no such hook")
    steps: list[Tensor] = []
    weight.register_post_accumulate_grad_hook(steps.append)  # type: ignore[no-untyped-call]
    assert check(network, torch.randn(2, 4)).ok
    assert steps == []


def test_no_mode_or_hook_stays_behind() -> None:
    network, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)), torch.randn(2, 4)
    check(network, x)
    h = network[0](x)
    assert network[1](h) is h
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_an_input_that_is_the_networks_own_parameter() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    weight = network.get_parameter("0.weight")
    before = weight.detach().clone()
    assert check(network, weight).ok
    assert torch.equal(weight, before)
