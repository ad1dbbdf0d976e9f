"""What the watch cannot see is named, and never called safe."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from support.nets import Net, kinds, only
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from relu_demo.api import check
from relu_demo.errors import BadInput, NetworkError


def test_what_is_compiled_away_is_named_and_never_called_safe() -> None:
    @torch.jit.script
    def scripted(h: Tensor) -> Tensor:
        return torch.nn.functional.relu(h, inplace=True)

    def forward(net: Any, x: Tensor) -> Any:
        h = net.fc(x)
        return scripted(h) + h

    report = check(Net(forward), torch.randn(3, 4))
    assert not report.ok
    (unseen,) = report.unseen
    assert unseen.type == "compiled code"
    assert "relu_" in unseen.why


@pytest.mark.parametrize(("is_module", "named"), [(True, ("act", "ReLU")), (False, ("", "relu_"))])
def test_what_runs_in_another_thread_is_named_and_never_called_safe(is_module: bool, named: tuple[str, str]) -> None:
    def forward(net: Any, x: Tensor) -> Any:
        h = net.fc(x)
        with ThreadPoolExecutor(1) as threads:
            return threads.submit(net.act if is_module else torch.relu_, h).result() + h

    report = check(Net(forward), torch.randn(3, 4))
    assert not report.ok
    assert [(unseen.module, unseen.type) for unseen in report.unseen] == [named]
    assert not torch.nn.modules.module._global_forward_pre_hooks


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_a_checkpoint_runs_again_may_be_refused_there(reentrant: bool) -> None:
    def forward(net: Any, x: Tensor) -> Any:
        return checkpoint(lambda h: net.last(net.act(h)), net.fc(x), use_reentrant=reentrant)

    network = Net(forward, last=nn.Linear(4, 4))
    x = torch.randn(3, 4)
    report = check(network, x)
    with nullcontext() if (runs := bool(report.as_written.backward)) else pytest.raises(RuntimeError):
        network(x).sum().backward()
    assert kinds(only(report)) == ([] if runs else ["breaks-backward"])
    assert report.as_written.out_of_place_backward is True
    assert report.unseen == ()
    network.act = nn.ReLU()
    network(x).sum().backward()


def test_what_runs_and_cannot_be_watched_is_not_the_users_error() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        torch._C._autograd._saved_tensors_hooks_disable("no hooks, please")
        try:
            return net.act(net.fc(x))
        finally:
            torch._C._autograd._saved_tensors_hooks_enable()

    with pytest.raises(BadInput, match="Net cannot be checked; it runs, but not under watch: no hooks, please") as info:
        check(Net(forward), torch.randn(3, 4))
    assert not isinstance(info.value, NetworkError)


def test_a_network_that_raises_out_of_place_leaves_no_trace_either() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        with torch.no_grad():
            F.relu(net.bias, inplace=True)
        if bool((net.bias < 0).any()):
            raise ValueError("it relies on the overwriting")
        return x + net.bias

    network = Net(forward)
    network.bias = bias = nn.Parameter(torch.tensor([-1.0, 2.0]))
    with pytest.raises(NetworkError, match="it relies on the overwriting"):
        check(network, torch.randn(3, 2))
    assert bias.tolist() == [-1.0, 2.0]


@pytest.mark.skipif(not hasattr(torch, "func"), reason="this PyTorch has no torch.func")
def test_gradients_of_torch_func_are_named_and_the_rest_is_judged() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        y = net.fc(x)
        z = net.act(y) + y  # reads what it overwrote
        return torch.func.grad(lambda t: F.relu(net.fc(t), inplace=True).sum())(x) + z

    report = check(Net(forward), torch.randn(3, 4))
    assert [kinds(call) for call in report.calls] == [["changes-result"], []]
    assert [(each.type, each.why) for each in report.unseen] == [
        ("torch.func", "what its gradients save is not watched")
    ]


@pytest.mark.skipif(not hasattr(torch, "cond"), reason="this PyTorch has no torch.cond")
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_branch_that_torch_cond_takes_is_judged(sign: float) -> None:
    def loud(t: Tensor) -> Tensor:
        y = t.sigmoid()
        return F.relu(y, inplace=True)

    def forward(net: Any, x: Tensor) -> Any:
        return torch.cond(x.sum() > 0, loud, lambda t: F.relu(t * 1, inplace=True), (net.fc(x),))

    report = check(Net(forward), sign * torch.rand(3, 4))
    assert kinds(only(report)) == (["breaks-backward"] if sign > 0 else [])
    assert report.unseen == ()


def test_a_module_whose_switch_reaches_no_watched_call_is_named() -> None:
    class Compiled(nn.Module):
        """Its kernel is elsewhere, and what it writes nobody is told."""

        def __init__(self, inplace: bool) -> None:
            super().__init__()
            self.inplace = inplace

        def forward(self, x: Tensor) -> Tensor:
            return x * 1

    class Block(nn.Module):
        """Hands its own switch on, as most do."""

        def __init__(self) -> None:
            super().__init__()
            self.inplace = True
            self.fc, self.act = nn.Linear(4, 4), nn.ReLU(self.inplace)

        def forward(self, x: Tensor) -> Any:
            return self.act(self.fc(x))

    report = check(nn.Sequential(Block(), Compiled(True), Compiled(False)), torch.randn(3, 4))
    (unseen,) = report.unseen
    assert (unseen.module, unseen.type) == ("1", "Compiled")
    assert unseen.why == "its inplace=True reaches no call that was watched"
    assert not report.has_fault


def test_where_autograd_records_nothing_it_is_not_called_safe() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        return torch.sigmoid(x).mul_(2)

    x = torch.randn(3, 4)
    report = check(Net(forward), x)
    (unseen,) = report.unseen
    assert "nothing in it required grad" in unseen.why
    assert not report.ok
    assert not report.has_fault
    assert "all safe" not in str(report)
    assert check(Net(forward), x.requires_grad_()).has_fault
    with torch.no_grad():  # there no backward can follow
        report = check(Net(forward), x)
    assert report.ok
    assert "safe in the forward; autograd recorded nothing" in str(report)


def test_a_graph_that_only_an_attribute_keeps_is_one_that_autograd_recorded() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        net.last = net.weight.sum()
        return x.mul(2).add_(1)

    network = Net(forward)
    network.weight = nn.Parameter(torch.ones(3))
    assert check(network, torch.randn(3, 4)).ok
