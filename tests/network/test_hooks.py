"""What hooks read and keep: the hook is named, with its line, and the network's result is not said to be wrong."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import example, given
from hypothesis import strategies as st
from support.nets import Net, line_of, only
from torch import Tensor, nn

from relu_demo.api import Report, check
from relu_demo.tensors.storage import elements_at, geometry_of, is_strided, overlaps_itself

SEEN: dict[str, Any] = {}


def share_of_negatives(module: nn.Module, args: Any, output: Tensor) -> None:
    SEEN["negative"] = _share(args[0])


def _share(tensor: Tensor) -> float:
    return float((tensor < 0).float().mean())  # the hook's helper reads


def keep_in_global(module: nn.Module, args: Any, output: Tensor) -> None:
    SEEN["output"] = output  # the hook keeps


class Keeper:
    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def keep(self, module: nn.Module, args: Any, output: Tensor) -> None:
        name = type(module).__name__
        print(name)
        self.kept.append(output.detach())  # the method keeps


@torch.no_grad()
def decorated(module: nn.Module, args: Any, output: Tensor) -> None:
    SEEN["negative"] = (args[0] < 0).sum()  # the decorated hook reads


def scaled_keep(module: nn.Module, args: Any, output: Tensor, factor: int) -> None:
    SEEN["output"] = factor, output  # the partial keeps


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 4))


def screen(report: Report) -> str:
    return " ".join(str(report).split())


READERS = [(share_of_negatives, "# the hook's helper reads"), (decorated, "# the decorated hook reads")]


@pytest.mark.parametrize(("hook", "mark"), READERS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_hook_that_reads_what_its_module_overwrote_is_named(hook: Any, mark: str) -> None:
    model = network()
    model[1].register_forward_hook(hook)
    report = check(model, torch.randn(8, 4))
    (effect,) = only(report).effects
    assert (effect.kind, effect.settled, effect.outside) == ("changes-result", True, True)
    assert {place.hook for place in effect.by} == {hook.__name__}
    assert effect.by[0].line == line_of(mark)
    assert effect.by[0].module == "1"
    assert not report.ok
    assert not report.as_written.differs
    assert "the network's result is right; what a hook reads is wrong, by up to" in screen(report)
    assert f"in hook {hook.__name__} of 1 (" in screen(report)
    assert "or look in a forward pre-hook, which sees the input before" in screen(report)


def test_a_hook_that_reads_the_same_either_way_or_looks_elsewhere_is_no_fault() -> None:
    model = network()
    model[1].register_forward_hook(share_of_negatives)
    model[1].register_forward_hook(lambda module, args, output: SEEN.update(mean=output.mean(), shape=args[0].shape))
    nn.init.constant_(model.get_parameter("0.bias"), 100.0)
    report = check(model, torch.randn(8, 4))
    assert report.ok
    assert only(report).readers[0].hook == "share_of_negatives"


def test_a_hook_whose_answer_the_network_uses_makes_the_result_wrong() -> None:
    model = network()
    model[1].register_forward_hook(lambda module, args, output: output + args[0])
    report = check(model, torch.randn(8, 4))
    (effect,) = only(report).effects
    assert effect.kind == "changes-result"
    assert not effect.outside
    assert report.as_written.differs


def test_a_hook_before_a_later_module_counts_too() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        y = net.fc(x)
        return F.relu(y, inplace=True) + net.later(y).new_zeros(())

    model = Net(forward, later=nn.Identity())
    model.get_submodule("later").register_forward_pre_hook(lambda module, args: SEEN.update(mean=args[0].mean()))
    (effect,) = only(check(model, torch.randn(8, 4))).effects
    assert (effect.outside, effect.by[0].module, effect.by[0].hook) == (True, "later", "<lambda>")


KEEPERS = [
    (keep_in_global, "keep_in_global", "# the hook keeps"),
    (Keeper().keep, "keep", "# the method keeps"),
    (functools.partial(scaled_keep, factor=2), "scaled_keep", "# the partial keeps"),
]


@pytest.mark.parametrize(("hook", "name", "mark"), KEEPERS, ids=[name for _, name, _ in KEEPERS])
def test_a_hook_that_keeps_what_is_overwritten_is_named_with_its_line(hook: Any, name: str, mark: str) -> None:
    model = network()
    model[0].register_forward_hook(hook)
    report = check(model, torch.randn(8, 4))
    SEEN.clear()
    (effect,) = only(report).effects
    (place,) = effect.by
    assert (effect.kind, effect.settled, effect.outside) == ("changes-result", True, True)
    assert (place.operation, place.module, place.hook, place.file) == ("kept", "0", name, __file__)
    assert place.line == line_of(mark)
    assert "the network's result is right; what a hook keeps is wrong, by up to" in screen(report)
    assert "or keep a clone() in the hook" in screen(report)


def test_another_holder_is_not_called_a_hook() -> None:
    kept: list[Tensor] = []

    def forward(net: Any, x: Tensor) -> Any:
        y = net.fc(x)
        kept.append(y.detach())
        return F.relu(y, inplace=True)

    report = check(Net(forward), torch.randn(8, 4))
    (effect,) = only(report).effects
    assert "held after the forward" in effect.by[0].operation
    assert "the network's result is right; what something outside keeps is wrong" in screen(report)


def test_a_hook_that_keeps_an_expanded_tensor_is_no_crash() -> None:
    kept: list[Tensor] = []
    network = nn.Sequential(nn.Identity(), nn.Linear(3, 3))
    network[0].register_forward_hook(lambda module, args, output: kept.append((output * 2)[:1].expand(4, 3)))
    network[1].register_forward_pre_hook(lambda module, args: (args[0][:1].clone().expand(4, 3),))
    network[1].register_forward_hook(lambda module, args, output: kept.append(args[0]))
    assert check(network, torch.randn(2, 3)).ok


def network_with_a_hook_that_keeps(part: Any) -> Any:
    """Return a network with a layer and an in-place ReLU, and a hook on the layer that keeps a part of its output."""
    kept: list[Tensor] = []
    net = network()
    net[0].register_forward_hook(lambda module, args, output: kept.append(part(output.detach())))
    return net


def test_a_hook_that_keeps_a_part_which_stays_the_same_is_no_fault() -> None:
    net = network_with_a_hook_that_keeps(lambda output: output[:1])
    with torch.no_grad():
        net[0].bias.copy_(torch.ones(4))
    x = torch.tensor([[0.0] * 4, [9.0, -9.0, 9.0, -9.0]])  # ReLU changes the second row alone
    assert (net[0](x)[0] > 0).all()
    assert (net[0](x)[1] < 0).any()
    assert check(net, x).ok
    assert [effect.kind for effect in only(check(net, x.flip(0))).effects] == ["changes-result"]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_part_that_is_kept_of_a_large_storage(device: str) -> None:
    net = network_with_a_hook_that_keeps(lambda output: output[:, 1::2]).to(device)
    report = check(net, torch.randn(8, 4, device=device))
    assert [effect.kind for effect in only(report).effects] == ["changes-result"]


def test_a_hook_that_keeps_what_is_overwritten_out_of_place_too_is_no_fault() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        h = net.fc(x)
        z = F.relu(h, inplace=True) * 1
        h.fill_(1.0)
        return z

    kept: list[Tensor] = []
    layer = nn.Linear(4, 4)
    layer.register_forward_hook(lambda module, args, output: kept.append(output.detach()))
    with torch.no_grad():
        assert only(check(Net(forward, fc=layer), torch.randn(8, 4))).effects == ()


def of_another_part(net: Any, x: Tensor) -> Any:
    h = net.side(x)
    return h[:, :2], F.relu(h[:, 2:], inplace=True).sum()


def of_what_is_not_used(net: Any, x: Tensor) -> Any:
    h = net.fc(x)
    y = F.relu(h, inplace=True)
    net.side(h)
    return y


@pytest.mark.parametrize("forward", [of_another_part, of_what_is_not_used])
def test_a_hook_that_keeps_what_the_network_returns_no_part_of_is_named(forward: Any) -> None:
    layer = nn.Linear(4, 4)
    layer.register_forward_hook(keep_in_global)
    with torch.set_grad_enabled(forward is of_what_is_not_used):
        (effect,) = only(check(Net(forward, side=layer), torch.randn(8, 4))).effects
    assert (effect.kind, effect.outside) == ("changes-result", True)
    assert "keep_in_global" in [place.hook for place in effect.by]


SIZE = 64


@st.composite
def views(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Give shape, strides and offset of a view into 64 elements: strided, overlapping, expanded or empty."""
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    strides = tuple(draw(st.integers(0, 6)) for _ in shape)
    last = sum(max(n - 1, 0) * s for n, s in zip(shape, strides, strict=True))
    return shape, strides, draw(st.integers(0, SIZE - 1 - last))


@example(((0, 2), (6, 1), 0), [((0,), (3,), 0)])
@given(views(), st.lists(views(), min_size=1, max_size=3))
def test_the_elements_in_other_views_are_those_that_a_write_there_changes(
    view: tuple[tuple[int, ...], tuple[int, ...], int], others: list[tuple[tuple[int, ...], tuple[int, ...], int]]
) -> None:
    whole = torch.zeros(SIZE)
    tensor, written = whole.as_strided(*view), [whole.as_strided(*other) for other in others]
    for each in written:
        each.fill_(1)
    found = elements_at(geometry_of(tensor), [geometry_of(each) for each in written])
    assert torch.equal(tensor == 1, torch.ones(view[0], dtype=torch.bool) if found is None else found)


def test_a_tensor_overlaps_itself_only_where_it_is_expanded_or_its_rows_are_laid_over_each_other() -> None:
    whole = torch.zeros(4, 6)
    assert not any(map(overlaps_itself, (whole, whole.T, whole[::2, 1:4], whole[0], whole[:, :1], whole[:0])))
    assert all(map(overlaps_itself, (whole[:1].expand(2, 6), whole.as_strided((3, 2), (1, 1)))))


def test_strided_is_a_plain_tensor_over_a_storage() -> None:
    class Own(Tensor):
        pass

    whole = torch.zeros(2, 3)
    assert all(map(is_strided, (whole, whole.T, torch.nn.Parameter(whole))))
    others = (whole.to_sparse(), torch.quantize_per_tensor(whole, 0.1, 0, torch.qint8), whole.as_subclass(Own))
    assert not any(map(is_strided, others))
    assert [geometry_of(each) for each in others] == [None] * 3


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Any:
        return self.act(x)


class Perceptual(nn.Module):
    """Compares what a hook keeps of a layer; what the last one gives is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), Block()
        self.first.register_forward_hook(lambda module, args, output: self.kept.append(output))
        self.kept: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.kept.clear()
        self.last(self.first(x))
        return (x * self.kept[0]).sum()


def test_who_drops_what_a_block_returns_does_not_mean_its_overwriting() -> None:
    (effect,) = only(check(Perceptual(), torch.randn(8, 4))).effects
    assert (effect.kind, effect.settled) == ("changes-result", True)
