"""A check leaves no trace, misses nothing unseen and does not crash: small networks on which it was once wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from support.nets import Net, Squared, kinds, line_of, only, written
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function
from torch.utils import dlpack

from relu_demo.api import check
from relu_demo.errors import NetworkError

X = torch.linspace(-2, 2, 32).reshape(4, 8)


def linear(run: Any, **parts: nn.Module) -> Any:
    torch.manual_seed(0)
    return Net(run, a=nn.Linear(8, 8), **parts)


def test_a_parameter_that_only_some_passes_write_to_keeps_its_values() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        y = net.a(x)
        h = F.relu(y, inplace=True)
        if float(y.detach().min()) >= 0:  # only where the call is in place
            net.scale.mul_(0.5)
        return h * net.scale + y

    network = linear(forward)
    network.scale = nn.Parameter(torch.ones(8), requires_grad=False)
    assert "changes-result" in kinds(only(check(network, X)))
    assert torch.equal(network.scale, torch.ones(8))


def test_what_a_hook_writes_in_backward_is_put_back() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        h = net.act(net.a(x))
        h.register_hook(lambda gradient: net.norm.add_(gradient.norm()) and None)
        return net.b(h)

    network = linear(forward, b=nn.Linear(8, 8))
    network.norm = torch.zeros(1)
    assert check(network, X).ok
    assert float(network.norm) == 0


def test_what_a_train_of_the_networks_own_does_is_put_back() -> None:
    class Merging(nn.Module):
        """Adds a low rank to its weight in evaluation, as adapters do, and has a module in a plain list."""

        def __init__(self) -> None:
            super().__init__()
            self.weight, self.low = nn.Parameter(torch.ones(8, 8)), nn.Parameter(torch.ones(8, 8))
            self.merged, self.hidden, self.act = False, [nn.BatchNorm1d(8)], nn.ReLU(True)

        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            self.hidden[0].train(mode)
            if mode == self.merged:
                self.weight.data += -self.low.data if mode else self.low.data
                self.merged = not mode
            return self

        def forward(self, x: Tensor) -> Any:
            weight = self.weight if self.merged else self.weight + self.low
            return self.act(self.hidden[0](x @ weight))

    network = Merging()
    assert check(network, X, train=False).ok
    assert torch.equal(network.weight, torch.ones(8, 8))
    assert (network.merged, network.training, network.hidden[0].training) == (False, True, True)


def test_a_small_gradient_beside_large_ones_counts() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        y = net.a(x)
        z: Any = Squared.apply(y)  # type: ignore[no-untyped-call]
        return F.leaky_relu(y.data, 0.2, inplace=True), z * 1e-6, net.large(x) * 100

    assert kinds(only(check(linear(forward, large=nn.Linear(8, 8)), X))) == ["changes-result"]


def test_an_input_that_keeps_its_values_is_a_doubt_and_no_settled_fault() -> None:
    network = linear(lambda net, x: net.a(F.relu(x, inplace=True)))
    (effect,) = only(check(network, X.abs())).effects
    assert (effect.kind, effect.settled) == ("overwrites-input", False)
    (effect,) = only(check(network, X)).effects
    assert (effect.kind, effect.settled) == ("overwrites-input", True)


def overridable(x: Tensor) -> Any:
    if has_torch_function((x,)):
        return handle_torch_function(overridable, (x,), x)
    return F.leaky_relu(x, 0.2, inplace=True)


def test_calls_inside_a_function_that_handles_torch_function_are_named() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        y = net.a(x)
        return overridable(y) + y

    report = check(linear(forward), X)
    assert not report.ok
    (unseen,) = report.unseen
    assert unseen.type == "overridable"


def test_a_backward_inside_of_the_forward_names_who_saved() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        x = x.clone().requires_grad_()
        y = torch.sigmoid(net.a(x))  # saves what it makes
        h = F.threshold(y, 0.5, 0.0, inplace=True)
        (gradient,) = torch.autograd.grad(h.sum(), x, create_graph=True)
        return h.sum() + gradient.pow(2).sum()

    (effect,) = only(check(linear(forward), X)).effects
    assert effect.kind == "refused"
    assert [place.line for place in effect.by] == [line_of("# saves what it makes")]


def test_a_network_that_runs_only_in_place_is_told_so() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        y = net.a(x)
        F.relu(y, inplace=True)
        assert bool((y >= 0).all()), "negative"
        return y

    network = linear(forward)
    network(X)
    with pytest.raises(NetworkError, match=r"runs as written, but with everything out of place .* relies on the over"):
        check(network, X)


def test_a_forward_may_call_its_argument_model_and_hold_deep_lists() -> None:
    deep: list[Any] = []
    for _ in range(2000):
        deep = [deep]
    network = Net(lambda net, x, tree=None, model=None: net.act(net.a(x)), a=nn.Linear(8, 8))
    assert check(network, X, tree=deep, model=1).ok


OUTSIDE = {
    "scratch that is filled anew": (
        "torch.mul(x, 2, out=table); return net.fc(F.leaky_relu(table, 0.1, inplace=True))",
        [],
    ),
    "a table that is read again": ("return net.fc(x) + F.leaky_relu(table, 0.1, inplace=True)", ["changes-result"]),
    "a count": ("table.add_(1); return net.act(net.fc(x)), table", []),
}
"""What a forward does to a tensor that is neither its network's nor given."""


@pytest.mark.parametrize(("lines", "found"), OUTSIDE.values(), ids=OUTSIDE)
def test_a_global_tensor_is_put_back(lines: str, found: list[str], tmp_path: Path) -> None:
    table = -torch.ones(3, 4)
    report = check(written(tmp_path, *lines.split("; "), table=table), torch.randn(3, 4))
    assert kinds(only(report)) == found
    assert torch.equal(table, -torch.ones(3, 4))


def test_memory_that_came_from_numpy_counts() -> None:
    numpy = pytest.importorskip("numpy")

    def forward(net: Any, x: Tensor) -> Any:
        array = numpy.array(x.detach().numpy())
        return net.a(F.leaky_relu(torch.from_numpy(array), 0.2, inplace=True)) + float(array.min())

    assert kinds(only(check(linear(forward), X))) == ["changes-result"]


def test_an_operator_of_another_library_reads_whatever_its_name_is() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        y = net.a(x).detach()
        z = F.relu(y, inplace=True)
        return net.a(x) + torch.ops.relu_demo_names.half_like(y) + z

    library = torch.library.Library("relu_demo_names", "DEF")  # type: ignore[no-untyped-call]
    library.define("half_like(Tensor a) -> Tensor")  # type: ignore[no-untyped-call]
    library.impl("half_like", lambda a: a / 2, "CPU")  # type: ignore[no-untyped-call]
    call = only(check(linear(forward), X))
    assert kinds(call) == ["changes-result"]
    assert [place.operation for place in call.readers] == ["half_like"]


def test_a_fault_that_the_watch_cannot_see_is_found_beside_one_that_it_can() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        y, h = net.a(x).detach(), net.a(x)
        other = torch.ops.relu_demo_beside.same_memory(y)  # not even its schema tells
        hidden = net.a(F.leaky_relu(other, 0.2, inplace=True)) + y
        return F.relu(h, inplace=True) + h + hidden

    library = torch.library.Library("relu_demo_beside", "DEF")  # type: ignore[no-untyped-call]
    library.define("same_memory(Tensor a) -> Tensor")  # type: ignore[no-untyped-call]
    library.impl("same_memory", dlpack.from_dlpack, "CPU")  # type: ignore[no-untyped-call]
    assert [kinds(call) for call in check(linear(forward), X).calls] == [["changes-result"], ["changes-result"]]


class ReturnsAViewOfWhatItWrites(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.linear(x)
        second: Tensor = h.chunk(2, 1)[1]
        h.mul_(2)
        return second


def test_a_view_that_is_refused_after_the_forward_names_its_writer_and_its_maker() -> None:
    report = check(ReturnsAViewOfWhatItWrites(), torch.randn(2, 4))
    assert not report.ok
    (write,) = report.harmful_writes
    assert (write.kind, write.place.operation, write.savers[0].operation) == ("refused", "mul_", "chunk")
    said = " ".join(str(report).split())
    assert "PyTorch refuses a view of the tensor that was made before view made by chunk" in said


def test_a_write_that_multiplies_a_tensor_by_itself_is_no_safe_one_beside_a_refusal() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        y = F.relu(x, inplace=True)  # refused: the input is a leaf that requires grad
        h = net.a(y)
        h *= h
        return h

    report = check(linear(forward), X.clone().requires_grad_())
    assert [kinds(call) for call in report.calls] == [["refused"], ["breaks-backward"]]


def test_wrong_gradients_are_seen_where_backward_raises_with_everything_out_of_place() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        h = net.a(x)
        y = F.hardtanh(h[:, :4], inplace=True)  # out of place it saves what is overwritten below
        h.mul_(0.5)
        return y

    network = linear(forward)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)  # all values stay zero, and the gradient is halved
    report = check(network, X)
    (effect,) = only(report).effects
    assert (effect.kind, effect.note) == ("changes-result", "the result is the same, its gradients are not")
    assert report.as_written.gradients_differ


def test_a_network_that_runs_only_once_is_said_to_and_no_call_is_blamed() -> None:
    numbers = (number for number in [1.0])

    def forward(net: Any, x: Tensor) -> Any:
        y = net.fc(x)
        return F.relu(y, inplace=True) * next(numbers) + y

    with pytest.raises(NetworkError, match="ran once, and then, from the same state and input, raised StopIteration"):
        check(Net(forward), torch.randn(2, 4))


def test_a_network_that_exits_only_in_place_is_not_safe() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        y = net.fc(x)
        h = F.relu(y, inplace=True)
        if bool((y >= 0).all()):
            sys.exit(0)
        return h

    torch.manual_seed(0)
    report = check(Net(forward), torch.randn(2, 4))
    assert [(effect.kind, effect.words) for effect in report.calls[0].effects] == [("refused", "0")]
