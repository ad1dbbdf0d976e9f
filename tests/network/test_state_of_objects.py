"""A check puts back what a forward does to classes, tensors of every kind, functions and Python's own objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from support.nets import Net
from torch import Tensor, nn

from relu_demo.api import check
from relu_demo.tensors.storage import storage_of


def given() -> Tensor:
    return torch.linspace(-1, 1, 12).view(3, 4)


def test_a_parameter_whose_storage_the_forward_frees_has_its_values_again() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        net.kept = net.fc(x).detach()
        y = net.act(F.linear(x, net.fc.weight.clone(), net.fc.bias) + net.kept.sum())
        storage_of(net.kept).resize_(0)
        storage_of(net.fc.weight).resize_(0)
        return y

    model: Any = Net(forward)
    before = model.fc.weight.detach().clone()
    assert check(model, given()).ok
    assert torch.equal(model.fc.weight, before)


def quantized(values: Tensor) -> Tensor:
    return torch.quantize_per_tensor(values, 0.1, 0, torch.qint8)


def nested(values: Tensor) -> Tensor:
    return torch.nested.nested_tensor([values, values[:2]])


def jagged(values: Tensor) -> Tensor:
    return torch.nested.nested_tensor([values, values[:2]], layout=torch.jagged)


def wrapped(values: Tensor) -> Tensor:
    from torch.testing._internal.two_tensor import TwoTensor

    return TwoTensor(values.clone(), values.clone())  # type: ignore[no-untyped-call]


def flat(tensor: Tensor) -> list[float]:
    if tensor.is_nested:
        return [float(number) for part in tensor.unbind() for number in part.flatten()]
    if type(tensor).__name__ == "TwoTensor":
        return [float(number) for part in (tensor.a, tensor.b) for number in part.flatten()]  # type: ignore[attr-defined]
    full = (
        tensor.dequantize() if tensor.is_quantized else tensor.to_dense() if tensor.layout != torch.strided else tensor
    )
    return [float(number) for number in full.flatten()]


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "coo": lambda values: values.to_sparse().coalesce(),
    "csr": lambda values: values.to_sparse_csr(),
    "csc": lambda values: values.to_sparse_csc(),
    "mkldnn": lambda values: values.to_mkldnn(),
    "nested": nested,
    "jagged": jagged,
    "quantized": quantized,
    "wrapped": wrapped,
}


def made(kind: str) -> Tensor:
    try:
        return KINDS[kind](torch.eye(4))
    except (AttributeError, ImportError, RuntimeError) as error:
        pytest.skip(f"this PyTorch has none: {error}")


def write(tensor: Tensor) -> None:
    with torch.no_grad():
        if tensor.layout in (torch.sparse_csr, torch.sparse_csc):
            tensor.values().mul_(3)
        elif tensor.is_quantized:
            tensor.copy_(quantized(torch.full((4, 4), 0.7)))
        else:
            tensor.mul_(3)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "mkldnn"])
@pytest.mark.parametrize("registered", [True, False])
def test_a_tensor_of_another_kind_that_the_forward_writes_to_is_as_before(kind: str, registered: bool) -> None:
    def forward(net: Any, x: Tensor) -> Any:
        write(net.table)
        return net.act(net.fc(x))

    model: Any = Net(forward)
    table = made(kind)
    if registered:
        model.register_buffer("table", table)
    else:
        model.table = table
    before = flat(table)
    assert check(model, given()).ok
    assert model.table is table
    assert flat(table) == before
    write(table)
    assert flat(table) != before


def half_complex(values: Tensor) -> Tensor:
    return values.to(torch.complex32)


def bits(values: Tensor) -> Tensor:
    return values.to(torch.int8).view(torch.bits8)


def masked(values: Tensor) -> Tensor:
    from torch.masked import masked_tensor

    return masked_tensor(values, torch.ones_like(values) > 0)


OF_RESULTS = {
    **KINDS,
    "float8": lambda values: values.to(torch.float8_e4m3fn),
    "complex32": half_complex,
    "bits": bits,
    "masked": masked,
}


@pytest.mark.parametrize("kind", OF_RESULTS)
def test_a_call_that_changes_a_result_of_another_kind_is_a_fault(kind: str) -> None:
    def forward(net: Any, x: Tensor) -> Any:
        y = net.fc(x) * 10
        return net.act(y), OF_RESULTS[kind](y.detach())

    try:
        OF_RESULTS[kind](torch.ones(3, 4))
    except (AttributeError, ImportError, RuntimeError) as error:
        pytest.skip(f"this PyTorch has none: {error}")
    (call,) = check(Net(forward), given()).calls
    assert [effect.kind for effect in call.effects] == ["changes-result"]


def test_a_graph_that_has_saved_a_buffer_still_goes_backward() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        net.mean.mul_(0.9)
        return net.act(net.fc(x) + net.mean)

    model: Any = Net(forward)
    model.register_buffer("mean", torch.ones(4))
    loss = (model.fc(given()) * model.mean).sum()
    assert check(model, given()).ok
    assert model.mean._version == 0
    loss.backward()
    assert torch.equal(model.fc.bias.grad, torch.full((4,), 3.0))


def test_a_detached_state_and_one_with_another_graph_are_named() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        net.hidden.detach_()
        net.total *= 0.5
        return net.act(net.fc(x) + net.hidden + net.total)

    model: Any = Net(forward)
    model.hidden, model.total = model.fc(given()), model.fc(given())
    values = model.hidden.detach().clone()
    report = check(model, given())
    assert {each.name: each.why for each in report.unrestored} == dict.fromkeys(
        ("hidden", "total"), "its requires_grad or grad_fn is another now"
    )
    assert torch.equal(model.hidden, values)
    assert torch.equal(model.total, values)


def test_a_tensor_that_cannot_be_copied_is_named_where_it_is_written_to() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        net.table.mul_(net.table)
        return net.act(net.fc(x))

    model: Any = Net(forward)
    model.table, model.other = torch.ones(4).to_mkldnn(), torch.ones(4).to_mkldnn()
    report = check(model, given())
    assert [(each.name, each.why) for each in report.unrestored] == [
        ("table", "it was written to, and its values cannot be copied")
    ]


SEEN: list[Any] = []


def test_what_hooks_keep_in_closures_and_in_globals_is_put_back() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 4))
    outputs: list[Tensor] = []
    calls, last = 0, None

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal calls, last
        calls, last = calls + 1, output
        outputs.append(output)
        SEEN.append(output)

    model[1].register_forward_hook(keep)
    model[2].register_full_backward_hook(lambda module, inner, outer: SEEN.append(outer))
    assert check(model, given()).ok
    assert (outputs, SEEN, calls, last) == ([], [], 0, None)
    model(given())
    assert (len(outputs), calls) == (1, 1)
    SEEN.clear()


def test_defaults_and_attributes_of_functions_are_put_back() -> None:
    def scale(x: Tensor, *, memo: dict[str, int] = {}) -> Tensor:  # noqa: B006 - what is tested
        memo["calls"] = memo.get("calls", 0) + 1
        scale.calls += 1  # type: ignore[attr-defined]
        return x * 2

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.scale = nn.Linear(4, 4), scale

        @torch.no_grad()
        def count(self, seen: list[int] = []) -> None:  # noqa: B006 - what is tested
            seen.append(1)

        def forward(self, x: Tensor, seen: list[int] = []) -> Tensor:  # noqa: B006 - what is tested
            seen.append(1)
            self.count()
            return F.relu(self.scale(self.fc(x)), inplace=True)

    scale.calls = 0  # type: ignore[attr-defined]
    assert check(Scaled(), given()).ok
    assert (scale.calls, scale.__kwdefaults__) == (0, {"memo": {}})  # type: ignore[attr-defined]
    assert Scaled.forward.__defaults__ == ([],)
    assert Scaled.count.__wrapped__.__defaults__ == ([],)  # type: ignore[attr-defined]


def test_a_module_that_only_a_hook_holds_is_put_back_and_is_no_part_of_the_network() -> None:
    teacher = nn.Sequential(nn.BatchNorm1d(4), nn.ReLU(inplace=True))
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))

    def teach(module: nn.Module, inputs: Any, output: Tensor) -> None:
        teacher.last = teacher(output * 1).detach()
        teacher.eval()

    model.register_forward_hook(teach)
    report = check(model, given())
    norm = teacher[0]
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.num_batches_tracked == 0
    assert torch.equal(norm.running_mean, torch.zeros(4))  # type: ignore[arg-type]
    assert (teacher.training, hasattr(teacher, "last")) == (True, False)
    assert report.unseen == ()


def test_numpy_arrays_have_their_shape_flags_and_objects_again() -> None:
    numpy = pytest.importorskip("numpy")

    def forward(net: Any, x: Tensor) -> Any:
        net.objects[0] += 1
        net.row.shape = (2, 2)
        net.locked.flags.writeable = False
        net.draws.random()
        net.masked[0] = numpy.ma.masked
        return net.act(net.fc(x))

    model: Any = Net(forward)
    model.objects, model.row = numpy.array([1, None], dtype=object), numpy.arange(4)
    model.locked, model.draws = numpy.zeros(2), numpy.random.default_rng(3)
    model.masked = numpy.ma.masked_array([1.0, 2.0])
    drawn = model.draws.bit_generator.state
    report = check(model, given())
    assert (model.objects.tolist(), model.row.shape) == ([1, None], (4,))
    assert model.draws.bit_generator.state == drawn
    assert not numpy.ma.getmaskarray(model.masked).any()
    assert model.locked.flags.writeable
    assert report.unrestored == ()


class Node:
    def __init__(self) -> None:
        self.following: list[Any] = []


def test_many_objects_are_looked_at_once_and_what_changes_among_them_is_seen() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        net.nodes[-1].following.append(net.fc(x))
        return net.act(net.nodes[-1].following[0])

    model: Any = Net(forward)
    model.nodes = [Node() for _ in range(2000)]
    (call,) = check(model, given()).calls
    assert [effect.kind for effect in call.effects] == ["changes-result"]
    assert model.nodes[-1].following == []


def test_a_cell_that_was_empty_is_empty_again() -> None:
    def found_out() -> tuple[Callable[..., None], Callable[[], int]]:
        size = 0

        def find(module: nn.Module, inputs: Any) -> None:
            nonlocal size
            size = 4

        def found() -> int:
            return size  # noqa: F821 - deleted before it is called

        del size
        return find, found

    find, found = found_out()
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    model.register_forward_pre_hook(find)
    assert check(model, given()).ok
    with pytest.raises(NameError):
        found()
    model(given())
    assert found() == 4
