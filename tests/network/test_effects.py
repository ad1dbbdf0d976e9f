"""What a user sees for each kind of in-place call; each sentence of the specification is a test here."""

from __future__ import annotations

import datetime
import enum
import fractions
import itertools
import math
import re
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from support.nets import Net, Squared, kinds, line_of, only, written
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from relu_demo.api import check


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        result: Tensor = grad * 2 + 0 * x
        return result


def doubled(x: Tensor) -> Any:
    return Doubled.apply(x)  # type: ignore[no-untyped-call]


class Sign(enum.Enum):
    NEGATIVE, POSITIVE = True, False


SCRIPTED = torch.jit.script(nn.Linear(4, 4))
CALLS = {
    "the usual one": ("return net.act(net.fc(x))", "safe"),
    "a shape that is read": (
        "h = net.fc(x); y = net.act(h); return y * h.shape[0] + torch.zeros_like(h) + h.numel()",
        "safe",
    ),
    "values that stay": ("h = x.abs(); return net.act(h) + h", "safe, read by add"),
    "halves of a storage": ("h = net.fc(x); return torch.cat([F.relu(h[:, :2], True), h[:, 2:]], 1)", "safe"),
    "parts that overlap": (
        "h = net.fc(x); return torch.cat([F.relu(h[:, :3], True), h[:, 2:]], 1)",
        "changes-result by cat",
    ),
    "a detached alias": ("h = net.fc(x); other = h.detach(); return net.act(h), other.sum()", "changes-result by sum"),
    "a view": ("h = net.fc(x); other = h.view(-1); return net.act(h), other.sum()", "changes-result by sum"),
    "data": ("h = net.fc(x); other = h.data; return net.act(h), other.sum()", "changes-result by sum"),
    "memory handed out": (
        "h = net.fc(x); twin = dlpack.from_dlpack(h.detach()); return net.act(h) + twin",
        "changes-result",
    ),
    "memory taken over": (
        "y = net.fc(x).detach(); return net.fc(F.leaky_relu(dlpack.from_dlpack(y), 0.2, True)) + y",
        "changes-result",
    ),
    "a set of Python's own": ("y = net.act(net.fc(x)); return y + torch.empty(0).set_(y.detach())", "safe"),
    "a number in Python": ("h = net.fc(x); y = net.act(h); return y * float(h.min())", "changes-result by min"),
    "what is returned": ("h = net.fc(x); return {'before': h, 'after': [net.act(h)]}", "changes-result by return"),
    "an identity": ("h = net.fc(x); y = net.act(h); return y * (2 if y is h else 3)", "changes-result"),
    "itself in the result": ("return net, net.fc, net.fc.forward, net.act(net.fc(x))", "safe"),
    "what is saved": ("return F.elu(torch.sigmoid(net.fc(x)), inplace=True)", "breaks-backward by sigmoid"),
    "what a function saves": ("h = net.fc(x); y = doubled(h); return net.act(h) + y", "breaks-backward by Doubled"),
    "what a function keeps its own way": ("h = net.fc(x); y = squared(h); return net.act(h) + y", "changes-result"),
    "a dropout that is off, of no batch": (
        "h = net.fc(x); return F.dropout1d(torch.sigmoid(h), training=False, inplace=True)",
        "breaks-backward by sigmoid",
    ),
    "one of three dimensions": (
        "h = net.fc(x).view(2, 2, 2, 4); return F.dropout3d(torch.sigmoid(h), training=False, inplace=True)",
        "breaks-backward by sigmoid",
    ),
    "the caller's tensor": ("return net.fc(net.act(x))", "overwrites-input"),
    "each reader once": (
        "h = net.fc(x); y = net.act(h); y = sum([h, h], y) + h; return y + net.fc(h)",
        "changes-result by add by linear",
    ),
    "one huge value": (
        "h = net.fc(x); return (net.act(h) + h).masked_fill(torch.arange(4) == 3, -1e9)",
        "changes-result by add",
    ),
    "a result only a dropout that is off takes": (
        "y = net.fc(x); z = y.mul_(2); F.dropout(z, training=False); return y",
        "changes-result by return",
    ),
    "a loss in an attribute": (
        "y = net.fc(x); net.loss = (y * y).sum(); return F.relu(y, inplace=True)",
        "breaks-backward by mul",
    ),
    "a backward that only the write makes necessary": (
        "s = net.fc(x); y = x.unsqueeze(0); z = y.div_(s.abs() + 1); z.sum(); return y, x",
        "changes-result by breaks-backward by overwrites-input by return by linear",
    ),
    "a number": ("return net.act(net.fc(x)), float(x.sum()), float('nan')", "safe"),
    "bytes": (
        "y = net.fc(x); h = net.act(y); return h, bytes(n < 0 for n in y.flatten().tolist())",
        "changes-result by tolist",
    ),
    "an enum": ("y = net.fc(x); h = net.act(y); return h, Sign(y.min().item() < 0)", "changes-result by min"),
    "a slice": ("y = net.fc(x); h = net.act(y); return h, slice(y.min().item())", "changes-result by min"),
    "what is kept": ("net.last = net.fc(x); return net.act(net.last)", "changes-result by kept as last"),
    "a buffer that is assigned anew": (
        "h = net.fc(x); y = net.act(h); net.mean = 0.1 * h.detach().mean(0); return y",
        "changes-result by mean",
    ),
    "what a script module reads": ("h = net.fc(x); y = net.act(h); return scripted(h) + y", "changes-result by read"),
    "by position": ("return F.hardtanh(F.dropout(net.fc(x), 0.5, True), -1.0, 1.0, True)", "safe"),
    "by keyword": ("return F.relu(input=net.fc(x), inplace=True)", "safe"),
    "a view that is lost": (
        (
            "torch.set_grad_enabled(False); h = torch.ones(4) * 1; v = h.view_as(h); torch.set_grad_enabled(True); "
            "h.mul_(net.fc(x)[0]); return net.act(net.fc(x)) + v.detach()"
        ),
        "safe",
    ),
    "one of several views": ("a, b = net.fc(x).chunk(2, 1); return net.act(a) + b", "refused by chunk"),
    "an expanded tensor": ("return net.act(net.fc(x)[:1].expand(3, 4))", "refused by expand"),
}
"""What a forward does, and what is told of its one call in place."""


@pytest.mark.parametrize(("forward", "told"), CALLS.values(), ids=CALLS)
def test_what_a_call_does_is_told_with_who_reads_or_saves(forward: str, told: str, tmp_path: Path) -> None:
    network = written(
        tmp_path, *forward.split("; "), doubled=doubled, squared=Squared.apply, scripted=SCRIPTED, Sign=Sign
    )
    network.register_buffer("mean", torch.zeros(4))
    call = only(check(network, torch.randn(8, 4)))
    by = [place.operation for effect in call.effects for place in effect.by]
    if call.safe:
        assert told == ", read by ".join(["safe", *(reader.operation for reader in call.readers)])
    else:
        assert told == " by ".join([*kinds(call), *by])


def test_a_leaf_that_requires_grad_is_refused_in_pytorchs_words() -> None:
    report = check(nn.ReLU(inplace=True), torch.randn(2, 4, requires_grad=True))
    (effect,) = only(report).effects
    assert effect.kind == "refused"
    assert effect.words == "a leaf Variable that requires grad is being used in an in-place operation."
    assert report.as_written.forward_error == effect.words


def test_every_switch_of_this_pytorch_is_seen() -> None:
    from relu_demo.network.switch import SWITCHED

    for function, signature in SWITCHED.items():
        shape = (
            (2, 3, 4, 4, 4) if "3d" in function.__name__ else (2, 3, 4, 4) if "2d" in function.__name__ else (2, 3, 4)
        )
        extra = {"threshold": 0.1, "value": 0.2} if "threshold" in signature.parameters else {}

        def forward(net: Any, x: Tensor, function: Any = function, extra: Any = extra) -> Any:
            result: Tensor = function(x * 1.0, inplace=True, **extra)
            return result

        report = check(Net(forward), torch.randn(shape))
        assert only(report).place.operation == function.__name__.lstrip("_")


def test_a_dropout_in_evaluation_overwrites_nothing() -> None:
    network = nn.Sequential(nn.Dropout(0.5, inplace=True), nn.Linear(4, 4)).eval()
    report = check(network, torch.randn(2, 4))
    assert report.ok
    assert only(report).bytes == 0
    assert kinds(only(check(network, torch.randn(2, 4), train=True))) == ["overwrites-input"]
    assert not network.training


def test_a_result_that_has_another_key_in_place_is_another_result() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        h = net.fc(x)
        y = net.act(h)
        return {"positive" if bool((h >= 0).all()) else "mixed": y}

    (effect,) = only(check(Net(forward), torch.randn(3, 4))).effects
    assert (effect.kind, effect.settled, effect.difference) == ("changes-result", True, math.inf)


def test_a_number_that_is_nan_only_out_of_place_differs_and_one_that_is_so_in_both_does_not() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        h = net.fc(x)
        return net.act(h), float(h.min().sqrt()) if net.reads else math.nan

    for reads in (False, True):
        network: Any = Net(forward)
        network.reads = reads
        assert kinds(only(check(network, torch.randn(3, 4)))) == ["changes-result"] * reads


def test_backward_begins_from_a_loss_that_the_forward_leaves_in_an_attribute_too() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        gate = torch.sigmoid(net.fc(x))
        net.penalty = gate.sum()
        return net.act(gate).detach()

    assert kinds(only(check(Net(forward), torch.randn(3, 4)))) == ["breaks-backward"]


def test_who_would_be_hurt_by_a_call_that_is_off_is_named() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        h = net.fc(x)
        return F.relu(h) + h

    (call,) = check(Net(forward), torch.randn(3, 4)).off
    assert [(effect.kind, [place.operation for place in effect.by]) for effect in call.effects] == [
        ("changes-result", ["add"])
    ]


def test_two_calls_each_safe_alone_and_not_together() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(0.1, inplace=True), nn.Dropout(0.5, inplace=True))
    report = check(network, torch.randn(2, 4))
    assert all(call.safe for call in report.calls)
    assert report.as_written.backward is False
    (conflict,) = report.as_written.conflicts
    assert (conflict.saver_call, conflict.writer_call) == (0, 1)
    assert report.advice.turn_off == (1,)
    assert report.advice.verified
    assert not report.ok


def test_a_forward_that_raises_only_with_two_calls_together_is_told_in_pytorchs_words() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        with torch.no_grad():
            h = F.threshold((x * 2)[:, :1].expand(2, 4), 0.0, 0.0, inplace=True)  # which PyTorch allows
            h = h.mul_(2)
        return h + x

    report = check(Net(forward), torch.ones(2, 4))
    assert all(call.safe for call in report.calls)
    assert "more than one element of the written-to tensor" in (report.as_written.forward_error or "")


def test_what_is_off_and_could_be_on_is_advised_with_the_bytes_measured() -> None:
    layers = [m for _ in range(4) for m in (nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.LeakyReLU(0.1))]
    network = nn.Sequential(*layers)
    x = torch.randn(1, 4, 16, 16)
    one = x.numel() * x.element_size()
    report = check(network, x)
    assert report.calls == ()
    assert report.ok
    assert report.advice.turn_on == (0, 1, 2, 3)
    # Out of place each unit keeps three tensors, in place two: batch norm's input, and the one result.
    assert report.advice.saves_live == 4 * one
    with torch.no_grad():
        assert check(network, x).advice.saves_live == 0


class Deaf(nn.Module):
    """Has the switch, and does not hand it on."""

    def __init__(self) -> None:
        super().__init__()
        self.inplace = True

    def forward(self, x: Tensor) -> Any:
        return F.elu(x)


@pytest.mark.parametrize(
    ("module", "advised"),
    [
        (nn.AlphaDropout(0.1, inplace=True), False),
        (nn.AlphaDropout(0.1), False),
        (nn.FeatureAlphaDropout(0.1, inplace=True), False),
        (Deaf(), False),
        (nn.ELU(), True),
        (nn.Dropout(0.1), True),
        (nn.Sequential(nn.ELU()), True),
        (Net(lambda net, x: F.elu(x)), True),
        (Net(lambda net, x: F.dropout(x, 0.1)), True),
    ],
    ids=str,
)
def test_only_a_switch_that_can_be_reached_is_advised(module: nn.Module, advised: bool) -> None:
    report = check(nn.Sequential(nn.Linear(4, 4), module, nn.Linear(4, 1)), torch.randn(2, 4))
    assert all(call.safe for call in report.off)
    assert bool(report.advice.turn_on) == advised


def test_a_call_that_pytorchs_own_code_makes_without_a_switch_is_not_advised() -> None:
    report = check(nn.TransformerEncoderLayer(4, 1, 4, batch_first=True), torch.randn(2, 3, 4), train=True)
    advised = [call for call in report.off if call.index in report.advice.turn_on]
    assert {call.place.operation for call in report.off} == {"dropout", "relu"}
    assert {call.place.module for call in advised} <= {"dropout", "dropout1", "dropout2"}


def test_randomness_is_the_same_in_every_pass() -> None:
    layers: list[nn.Module] = [nn.Linear(8, 8)]
    for _ in range(4):
        layers += [nn.Dropout(0.5, inplace=True), nn.RReLU(inplace=True), nn.Linear(8, 8), nn.AlphaDropout(0.5, True)]
    report = check(nn.Sequential(*layers), torch.randn(4, 8))
    assert report.as_written.difference == 0
    assert all("changes-result" not in kinds(call) for call in report.calls)


def test_under_no_grad_nothing_is_saved_and_backward_is_not_asked_for() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        return F.relu(torch.sigmoid(net.fc(x)), inplace=True)

    network = Net(forward)
    with torch.no_grad():
        report = check(network, torch.randn(2, 4))
    assert report.ok
    assert report.as_written.backward is None
    assert not check(network, torch.randn(2, 4)).ok
    with torch.inference_mode():
        assert check(network, torch.randn(2, 4)).ok


def test_keyword_arguments_and_containers_of_tensors() -> None:
    def forward(net: Any, pair: Any, *, mask: Tensor) -> Any:
        return net.fc(F.relu(pair[0], inplace=True)) * F.relu(mask, inplace=True) + pair[1]["deep"]

    a, b, mask = torch.randn(3, 2, 4).unbind()
    report = check(Net(forward), (a, {"deep": b}), mask=mask)
    assert [kinds(call) for call in report.calls] == [["overwrites-input"], ["overwrites-input"]]


def test_a_script_module_is_named_and_never_called_safe() -> None:
    inner = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)))
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), inner)
    report = check(network, torch.randn(2, 4))
    (unseen,) = report.unseen
    assert unseen.module == "2"
    assert "TorchScript" in unseen.why
    assert not report.ok


@pytest.mark.slow
def test_a_compiled_module_is_named_and_never_called_safe() -> None:
    compiled: Any = torch.compile(nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)), backend="eager")
    report = check(compiled, torch.randn(2, 4))
    assert "compiled" in report.unseen[0].why
    assert not report.ok


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("used", [False, True])
def test_a_checkpoint_that_runs_again_on_what_was_overwritten_is_a_fault(used: bool, reentrant: bool) -> None:
    def block(net: Any, x: Tensor) -> Any:
        h = torch.sigmoid(net.fc(x))  # saved again
        if used:
            h += x
        else:
            h.add_(x)
        return net.last(h)

    def forward(net: Any, x: Tensor) -> Any:
        return checkpoint(partial(block, net), x, use_reentrant=reentrant)

    network = Net(forward, last=nn.Linear(4, 4))
    report = check(network, torch.randn(2, 4, requires_grad=True))
    assert (report.as_written.backward, report.as_written.gradients_differ) == (not reentrant, not reentrant)
    line, kind = line_of("h += x" if used else "h.add_(x)"), "breaks-backward" if reentrant else "changes-result"
    if used:
        assert (only(report).place.line, kinds(only(report))) == (line, [kind])
        assert only(report).effects[0].by[0].line == line_of("# saved again")
        assert report.advice.verified
    else:
        (write,) = report.harmful_writes
        assert (write.place.line, write.kind, write.savers[0].line) == (line, kind, line_of("# saved again"))


def test_a_checkpoint_that_ends_before_the_write_is_reached_again_is_right() -> None:
    def block(net: Any, x: Tensor) -> Any:
        h = torch.sigmoid(net.fc(x))
        h += x  # nothing is saved from here on, so backward computes no further
        return h

    network = Net(lambda net, x: checkpoint(partial(block, net), x, use_reentrant=False), fc=nn.Linear(4, 4))
    assert check(network, torch.randn(2, 4, requires_grad=True)).ok


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        x.mul_(x)  # of another, too
        return 3 * x * grad


def applied(function: Any, x: Tensor) -> Tensor:
    result: Tensor = function.apply(x)
    return result


class Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x / 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad.div_(2)  # of the sum, too


@pytest.mark.parametrize(
    ("forward", "kind", "mark"),
    [
        (lambda x: applied(Squared, x) + applied(Cube, x), "changes-result", "# of another, too"),
        (lambda x: x * x + applied(Cube, x), "breaks-backward", "# of another, too"),
        (lambda x: x + applied(Halved, x), "changes-result", "# of the sum, too"),
        (lambda x: x + applied(Halved, F.relu(x + 1, inplace=True)), "changes-result", "# of the sum, too"),
        (lambda x: applied(Cube, x) + 1, None, ""),
        (lambda x: applied(Halved, F.rrelu(x, training=True)), None, ""),  # its noise is drawn when it has been saved
    ],
)
def test_a_backward_that_writes_over_what_was_saved(forward: Callable[[Tensor], Tensor], kind: str, mark: str) -> None:
    report = check(Net(lambda net, x: forward(net.fc(x))), torch.randn(3, 4))
    found = [(write.kind, write.place.line) for write in report.harmful_writes]
    assert found == ([(kind, line_of(mark))] if kind else [])
    assert report.ok is (not kind)
    assert all(write.cure.says for write in report.harmful_writes)


def test_a_network_that_never_gives_the_same_twice_is_named() -> None:
    runs = itertools.count()

    def forward(net: Any, x: Tensor) -> Any:
        return F.relu(net.fc(x), inplace=True) + next(runs)

    report = check(Net(forward), torch.randn(8, 4))
    assert "from run to run" in report.unseen[0].why
    assert not report.ok


def test_what_a_call_saves_in_place_and_another_write_hurts_is_named_with_both() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        h = net.act(net.fc(x))  # saves what it makes
        h.add_(x)  # and this is in its way
        return h

    report = check(Net(forward, act=nn.LeakyReLU(0.1, inplace=True)), torch.randn(3, 4))
    (effect,) = only(report).effects
    assert effect.kind == "breaks-backward"
    (saver,), (writer,) = effect.by, effect.writers
    assert (saver.operation, writer.operation) == ("leaky_relu", "add_")
    assert (saver.line, writer.line) == (line_of("# saves what it makes"), line_of("# and this is in its way"))
    assert re.search(r"saved by leaky_relu in act.*later overwritten by add_", str(report), re.DOTALL)


class Clipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = F.relu(x, inplace=True)
        ctx.mark_dirty(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        result: Tensor = grad * (y > 0)
        return result


class ClippedApart(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return F.relu(x, inplace=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_dirty(*inputs)
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return Clipped.backward(ctx, grad)


@pytest.mark.parametrize("function", [Clipped, ClippedApart])
def test_a_function_that_declares_its_write_means_it(function: Any) -> None:
    def forward(net: Any, x: Tensor) -> Any:
        return net.out(function.apply(net.fc(x)))

    report = check(Net(forward, out=nn.Linear(4, 4)), torch.randn(3, 4))
    assert report.ok
    assert report.calls == ()


class Holding(nn.Module):
    """Gives the input and the result of an in-place call, held by whatever is asked for."""

    def __init__(self, hold: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.hold = hold
        self.fc, self.act = nn.Linear(4, 4), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Any:
        h = self.fc(x)
        return self.hold(h, self.act(h))


def generator(h: Tensor, y: Tensor) -> Any:
    yield h
    yield y


@pytest.mark.parametrize(
    ("hold", "named"),
    [
        (generator, "a generator"),
        (lambda h, y: {"all": iter([h, y])}, "a list_iterator"),
        (lambda h, y: (y, {h, y}), "a set"),
        (lambda h, y: (y, lambda: h), "a function"),
        (lambda h, y: memoryview(bytearray(8)), "a memoryview"),
    ],
)
def test_an_output_that_cannot_be_looked_into_is_named(hold: Callable[[Any, Any], Any], named: str) -> None:
    report = check(Holding(hold), torch.randn(3, 4))
    assert not report.ok
    assert [unseen.why for unseen in report.unseen] == [f"its result holds {named}, in which tensors cannot be found"]


def test_an_input_that_cannot_be_looked_into_is_named() -> None:
    def forward(net: Any, pair: Any) -> Any:
        return sum(F.relu(x, inplace=True) for x in pair)

    report = check(Net(forward), iter([torch.ones(2)]))
    assert "its input holds a list_iterator, in which tensors cannot be found" in [each.why for each in report.unseen]


class Colour(enum.Enum):
    RED = "red"


class Nothing:
    """As people mark what was not given."""


ORDINARY: list[Any] = [
    *(None, True, 3, 0.5, 1j, "text", b"bytes", Colour.RED, torch.float32, torch.device("cpu"), range(3), Nothing()),
    *(fractions.Fraction(1, 2), torch.Size([1, 2]), slice(1), int, torch.relu, F.relu, datetime.datetime(2026, 1, 1)),
    *(
        ...,
        object(),
        Path("x"),
        types.SimpleNamespace(a=1),
        torch.distributions.Normal(0.0, 1.0),
        {},
        set(),
        (),
    ),
]


def test_ordinary_values_beside_a_tensor_are_no_riddle() -> None:
    report = check(Holding(lambda h, y: (y, ORDINARY)), torch.randn(3, 4))
    assert report.unseen == ()
    assert report.ok
    assert check(Net(lambda net, x, also: x * 2), torch.ones(2), ORDINARY).ok


def nested(layout: torch.layout) -> Tensor:
    return torch.nested.nested_tensor([torch.randn(2, 4), torch.randn(3, 4)], layout=layout)


@pytest.mark.parametrize("layout", [torch.jagged, torch.strided], ids=str)
def test_nested_tensors_are_watched(layout: torch.layout) -> None:
    def spoilt(net: Any, x: Tensor) -> Any:
        h = net.fc(x)
        return net.act(h) + h

    parts = {"fc": nn.Linear(4, 4), "act": nn.ReLU(inplace=True)}
    assert check(Net(lambda net, x: net.act(net.fc(x)), **parts), nested(layout)).ok
    assert kinds(only(check(Net(spoilt, **parts), nested(layout)))) == ["changes-result"]
    assert kinds(only(check(Net(lambda net, x: net.fc(net.act(x)), **parts), nested(layout)))) == ["overwrites-input"]


class Tagged(torch.Tensor):
    """A tensor of the user's own class."""


def test_an_input_of_a_class_derived_from_tensor_stays_of_it() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        assert type(x) is Tagged
        return net.act(net.fc(x))

    network = Net(forward)
    assert check(network, torch.eye(4).as_subclass(Tagged)[1:]).ok


def test_calls_that_together_change_nothing_but_a_buffer_are_found() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        zeros = torch.zeros_like(x)
        first = net.act(zeros)
        net.last(net.middle(zeros))
        net.mean.copy_(first.mean())
        return x * 2

    network = Net(forward, act=nn.ReLU(True), middle=nn.ReLU6(True), last=nn.Hardsigmoid(True))
    network.register_buffer("mean", torch.zeros(()))
    report = check(network, torch.randn(2, 4))
    assert report.as_written.differs
    assert not report.ok


def test_advice_counts_what_a_hook_keeps() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        ones = torch.ones_like(x)
        net.act(ones)
        return net.last(net.again(ones))  # out of place, and over what the hook keeps if it were not

    kept = []
    act = nn.ReLU(inplace=True)
    act.register_forward_hook(lambda module, args, output: kept.append(output))
    report = check(Net(forward, act=act, again=nn.ReLU(inplace=True), last=nn.Hardswish()), torch.randn(64, 4))
    assert not report.has_fault
    assert report.advice.turn_on == ()


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(torch.float32, 1e-8), (torch.float32, 1e8), (torch.bfloat16, 1), (torch.float16, 1)],
    ids=["tiny", "large", "bfloat16", "float16"],
)
def test_a_fault_is_told_from_rounding_however_small_or_coarse_the_numbers_are(
    dtype: torch.dtype, scale: float
) -> None:
    def forward(net: Any, x: Tensor) -> Any:
        h = net.fc(x)
        return (net.last(net.act(h)) + h).softmax(-1) * scale

    if dtype == torch.float16 and torch.__version__ < "2.2":  # a TorchVersion, which compares numbers
        pytest.skip("this PyTorch has no float16 on the CPU")
    for act, fault in ((nn.ReLU(True), True), (nn.Hardtanh(-100, 100, True), False)):
        network = Net(forward, fc=nn.Linear(8, 8), last=nn.Linear(8, 8), act=act).to(dtype)
        report = check(network, torch.randn(5, 8, dtype=dtype))
        assert kinds(only(report)) == ["changes-result"] * fault
        assert report.as_written.differs == fault


def test_another_kernels_rounding_is_no_fault() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        return net.last(net.act(net.fc(x)[:, ::2]))

    act = nn.ELU(inplace=True)
    for seed in range(20):
        torch.manual_seed(seed)
        report = check(Net(forward, fc=nn.Linear(8, 8), last=nn.Linear(4, 4), act=act), torch.randn(50, 8))
        assert report.ok, str(report)
