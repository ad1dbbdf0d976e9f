"""Writes in place without a switch: those whose result is used are calls, the others are listed where they do harm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support.faulty_networks import OfItsOwn, Used
from support.nets import Net, written
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from relu_demo.api import check
from relu_demo.errors import BadInput
from relu_demo.network.report import CheckReport


def one(network: nn.Module, x: Tensor | None = None) -> tuple[CheckReport, list[str]]:
    torch.manual_seed(0)
    report = check(network, torch.randn(4, 4) if x is None else x)
    (call,) = report.calls
    return report, [effect.kind for effect in call.effects]


WAYS = [
    ("act = torch.relu_; h = act(y)", ""),
    ("h = operator.iadd(y, 1)", ""),
    ("h = functools.reduce(operator.imul, [y, x])", ""),
    ("h = y.__iadd__(1)", ""),
    ("h = {'relu': torch.relu_}['relu'](y)", ""),
    ("h, = map(torch.relu_, [y])", ""),
    ("h = torch.clamp_(input=y, min=0)", "torch.clamp(input=y, min=0)"),
    ("h = torch.ops.aten.relu_(y)", "torch.ops.aten.relu(y)"),
    ("h = F.leaky_relu_(y)", "F.leaky_relu(y)"),
    ("h = y.clone().mul_(1) * 0 + y.fill_diagonal_(9)", "y.clone().fill_diagonal_(9)"),
    ("h = y; h **= 2", "h = h ** 2"),
    ("h = y; h += x if net.training else 2.0", "h = h + (x if net.training else 2.0)"),
    ("h = y.bernoulli_(0.5)", "y.bernoulli(0.5)"),
    ("h = y.zero_()", "y.clone().zero_()"),
    ("h = [y]; h[0] += x; h = h[0]", "h[0] = h[0] + x"),
    ("h = {'y': y}; h['y'] += x; h = h['y']", "h['y'] = h['y'] + x"),
]


@pytest.mark.parametrize(("line", "cure"), WAYS, ids=[line for line, _ in WAYS])
def test_a_write_is_a_call_however_it_is_written(line: str, cure: str, tmp_path: Path) -> None:
    report = check(written(tmp_path, "y = net.fc(x)", line, "return h + y"), torch.randn(4, 4))
    call = report.calls[-1]
    assert [effect.kind for effect in call.effects] == ["changes-result"]
    assert call.cure
    assert cure in (call.cure.diff or "")
    assert cure or call.cure.says == "write it out of place"


NO_CALLS = {
    "a new tensor": "noise = torch.empty_like(x).normal_(); noise = noise.uniform_(); return net.fc(x) + noise",
    "a buffer": "net.bn.num_batches_tracked += 1; return net.fc(x)",
    "a chain": "y = net.fc(x) * 1; y.mul_(2).add_(1); return y",
    "who drops a function's result": "h = net.fc(x); F.relu(h, inplace=True); return h",
    "who drops a module's result": "h = net.fc(x); net.act(h); return h",
}
"""Writes that are meant to be in place."""


@pytest.mark.parametrize("lines", NO_CALLS.values(), ids=NO_CALLS)
def test_what_is_meant_to_be_written_to_is_no_call(lines: str, tmp_path: Path) -> None:
    network = written(tmp_path, *lines.split("; "))
    network.bn = bn = nn.BatchNorm1d(4)
    report = check(network, torch.randn(4, 4))
    assert (report.calls, report.ok) == ((), True)
    assert "no in-place call to test" in str(report)
    assert bn.num_batches_tracked == 0


def test_of_code_without_a_text_only_what_writes_is_a_call() -> None:
    names: dict[str, Any] = {}
    lines = ("h = y = net.fc(x[:2])", "h[0] += len(x) + float(x[0, 0])", "h.mul_(2)", "y *= 2", "return h + y")
    exec("\n    ".join(["def forward(net, x):", *lines]), names)
    report, found = one(Net(names["forward"]))
    assert (report.calls[0].place.operation, report.calls[0].source, found) == ("mul_", "", ["changes-result"])


def test_a_write_to_what_a_dropout_gives_under_no_grad_is_refused_neither_in_place_nor_out_of_place() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        view = (x * 1)[:, ::2]
        with torch.no_grad():
            h = F.dropout(view, 0.5, True, inplace=True)
        h.mul_(net.fc.bias[:2])
        return h

    report, found = one(Net(forward))
    assert (found, report.ok) == ([], True)


HARMFUL = {
    "a statement": ("s = net.fc(x).sigmoid(); s.add_(1); return s", "breaks-backward add_ by sigmoid", ""),
    "a call whose result is dropped": (
        "h = net.fc(x); y = h.exp(); F.relu(y, inplace=True); return h * y",
        "breaks-backward relu by exp",
        "y = h.exp().clone()",
    ),
    "out": (
        "n = torch.ones(4, 4); y = net.fc(x) * n; z = torch.add(n, 1, out=n); return y + n",
        "breaks-backward add by mul",
        "z = n = torch.add(n, 1)",
    ),
    "a mask": (
        "n = torch.ones(4, 4); y = net.fc(x) * n; n[n[:, 0] > 0] = 0.0; return y + n",
        "breaks-backward __setitem__ by mul",
        "new = n.clone()",
    ),
    "a line without a cure": (
        "n = torch.ones(4, 4); y = net.fc(x) * n; n.add_(1) if x is None else torch.add(n, 1, out=n); return y + n",
        "breaks-backward add by mul",
        "",
    ),
    "past autograd": (
        "y = net.fc(x).sigmoid(); y.data.mul_(2); return F.relu(y + 1, inplace=True)",
        "changes-result mul_ by sigmoid",
        "y = y.mul(2)",
    ),
    "several of a line": (
        "y = net.fc(x).sigmoid(); y.detach().mul_(255).add_(0.5); return y",
        "breaks-backward mul_ by sigmoid",
        "",
    ),
    "to a slice of the caller's tensor": ("x[1:3] += 1; return net.fc(x)", "overwrites-input add_", ""),
    "to the caller's tensor": ("x.mul_(2); return net.fc(x)", "overwrites-input mul_", ""),
    "by out to the caller's tensor": ("torch.add(x, 1, out=x); return net.fc(x)", "overwrites-input add", ""),
    "whose name is not used": ("y = x.mul_(2); return net.fc(x)", "overwrites-input mul_", ""),
    "to a row": ("y = net.fc(x); for row in y: row.mul_(2); return y", "refused mul_ by unbind", ""),
    "to an expanded tensor": (
        "y = net.fc(x); z = y[0].expand(3, 4); z.add_(1); return y",
        "refused add_ by expand",
        "",
    ),
}
"""Forwards, the harmful writes without a switch in them, each with who saved what it overwrites, and a cure."""


@pytest.mark.parametrize(("lines", "told", "cure"), HARMFUL.values(), ids=HARMFUL)
def test_a_harmful_write_without_a_switch_is_listed_with_who_saved(
    lines: str, told: str, cure: str, tmp_path: Path
) -> None:
    report = check(written(tmp_path, *lines.split("; ")), torch.randn(4, 4))
    found = [
        " by ".join([f"{write.kind} {write.place.operation}", *(saver.operation for saver in write.savers)])
        for write in report.harmful_writes
    ]
    assert ", ".join(found) == told
    assert not report.ok
    assert cure in (report.harmful_writes[0].cure.diff or "")
    assert str(report).count("cure  ") == len(report.cures)
    said = {"refused": "made so by", "overwrites-input": "a tensor that the caller passed in is overwritten"}
    assert said.get(report.harmful_writes[0].kind, "saved") in str(report)


def test_what_pytorch_refuses_is_told_by_the_tensors_own_name(tmp_path: Path) -> None:
    network = written(tmp_path, "return net.bn(net.fc(x))")
    with torch.inference_mode():
        network.bn = nn.BatchNorm1d(4)
    report = check(network, torch.randn(3, 4))
    (write,) = report.harmful_writes
    assert (write.kind, write.why) == ("refused", "bn.num_batches_tracked was made under torch.inference_mode()")
    assert f"PyTorch raises in the forward: {write.why}" in " ".join(str(report).split())


def test_a_switch_of_the_networks_own_is_a_switch() -> None:
    report, found = one(OfItsOwn().requires_grad_(False))
    assert found == ["changes-result"]
    assert report.calls[0].switch == "act"
    assert "return x.mul(x.sigmoid()) if self.inplace else x * x.sigmoid()" in str(report)


def test_a_write_to_the_callers_tensor_that_no_mode_sees_is_told() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        x.apply_(lambda number: number * 2)
        return net.fc(x)

    report = check(Net(forward), torch.randn(4, 4))
    assert [write.kind for write in report.harmful_writes] == ["overwrites-input"]
    assert "a write that PyTorch tells nobody of (apply_, NumPy)" in str(report)
    assert report.harmful_writes[0].cure.says == "write to a clone() of it"


def test_fake_tensors_are_refused() -> None:
    fake = pytest.importorskip("torch._subclasses").FakeTensorMode
    with fake(), pytest.raises(BadInput, match="these are fake"):
        check(nn.Linear(4, 4), torch.randn(4, 4))


@pytest.mark.parametrize(
    ("lines", "read"),
    [
        (("y.data.mul_(2)", "return y"), "return"),
        (("y.data[0].add_(1)", "return y.sum()"), "sum"),
        (("y.data.sign_()", "return y"), ""),  # whose own gradient is zero: nobody wants that
        (("y = y.sigmoid()", "y.data.mul_(1)", "return y"), "sigmoid"),  # the gradients are the same
        (("z = y * 1", "y.data.mul_(2)", "return z"), ""),
        (("net.fc.weight.data.mul_(0.9)", "return net.fc(x) + y"), ""),
    ],
)
def test_a_write_past_autograd_that_may_be_meant_is_worth_a_look_and_no_fault(
    lines: Sequence[str], read: str, tmp_path: Path
) -> None:
    report = check(written(tmp_path, "y = net.fc(x)", *lines), torch.randn(4, 4))
    assert report.harmful_writes == ()
    assert report.ok
    assert [(look.name, look.read.operation) for look in report.worth_a_look] == ([("y", read)] if read else [])
    assert all({look.written.source, look.read.source} <= {"", *lines} for look in report.worth_a_look)
    assert ("Worth a look" in str(report)) is bool(read)


@pytest.mark.parametrize("file", ["a_helper.py", "z_helper.py"])
def test_an_edit_of_a_spectral_norm_is_its_own_in_whatever_file_it_stands(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text("def power(w):\n    w.data.mul_(0.9)\n")
    names: dict[str, Any] = {}
    exec(compile((tmp_path / file).read_text(), str(tmp_path / file), "exec"), names)

    class Spectral(Used):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.rand(4, 4))

        def forward(self, x: Tensor) -> Any:
            names["power"](self.w)
            return self.fc(x) @ self.w

    spectral = Spectral()
    report = check(Net(lambda net, x: spectral(x) + spectral(x + 1), spectral=spectral), torch.randn(4, 4))
    assert report.ok
    assert [look.written.source for look in report.worth_a_look] == ["w.data.mul_(0.9)"]
