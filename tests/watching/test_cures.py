"""What the watch advises: the cure fits the program that it is given for, to the letter."""

from __future__ import annotations

import textwrap
import warnings
from pathlib import Path

import pytest
import torch

import relu_demo
from relu_demo.watching.report import WatchReport

pytestmark = pytest.mark.skipif(torch.__version__ < "2.4", reason="an older PyTorch does not tell of indexing")


def watched(program: str, folder: Path) -> WatchReport:
    """Run a program, in which `w` is a leaf of four elements, `y` is made of it, and `net` and `opt` are there."""
    beginning = """
        import torch
        from torch import nn
        torch.manual_seed(0)
        w = torch.rand(4, requires_grad=True)
        y = w.exp()
        net = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 1))
        opt = torch.optim.SGD(net.parameters(), 0.1)
    """
    file = folder / "program.py"
    file.write_text(textwrap.dedent(beginning) + textwrap.dedent(program), encoding="utf-8")
    code = compile(file.read_text(encoding="utf-8"), str(file), "exec")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with relu_demo.watch() as watch:
                exec(code, {"__name__": "program"})
        except RuntimeError:
            pass
    return watch.report


IN_A_LOOP = """
    {before}
    for _ in range(3):
        loss = {loss}
        loss.backward(retain_graph=True)
        {write}
"""
ONE_FORWARD = (
    "compute loss again after each opt.step(), or call opt.step() after the last loss.backward(retain_graph=True)"
)
CURES = {
    "one forward, gone backward through in each round": (
        IN_A_LOOP.format(before="out = net(y.detach())", loss="out.sum()", write="opt.step()"),
        ONE_FORWARD,
    ),
    "one forward, and weights edited by hand": (
        IN_A_LOOP.format(before="v = torch.rand(4, requires_grad=True)", loss="y @ v", write="v.data -= v.grad")
        .replace("loss = y @ v", "loss = z")
        .replace("\n    for", "\n    z = (v * w).sin().sum()\n    for"),
        "compute loss again after that write",
    ),
    "a state that is carried from round to round": (
        IN_A_LOOP.format(before="h = torch.zeros(1)", loss="h = net(y.detach() + h)", write="opt.step()"),
        "detach() what is carried from step to step: through it this backward goes on into an earlier step's graph",
    ),
    "a closure that goes backward through what was computed outside of it": (
        """
        opt = torch.optim.LBFGS(net.parameters())
        loss = net(y.detach()).square().sum()
        def closure():
            loss.backward(retain_graph=True)
            return loss
        opt.step(closure)
        """,
        "compute loss inside of closure(), which opt.step(closure) calls again and again",
    ),
    "a part that is made of itself": (
        "y[:2] = y[:2] * w[:2]\ny.sum().backward()",
        "write to a copy: new = y.clone(), then new[:2] = ..., and go on with new",
    ),
    "a part of what each round reads whole": (
        "for i in range(4):\n    y[i] = (y * w).sum()\ny.sum().backward()",
        "write to a copy: new = y.clone(), then new[i] = ..., and go on with new",
    ),
    "an item of a dictionary": ("d = {'y': y}\nd['y'] *= 0.5\ny.sum().backward()", "d['y'] = d['y'] * 0.5"),
    "an item of a list, which is refused": (
        "ys = list(y.unbind())\nys[0] *= 2",
        "ys[0] = ys[0] * 2; or clone() the view first",
    ),
    "what a loop goes through": (
        "for each in [y]:\n    each /= 2\ny.sum().backward()",
        "each = each / 2, and put it back where the loop takes it from",
    ),
    "what a loop goes through, and reads again": (
        "for each in [y]:\n    each /= 2\n    total = each.sum()\ntotal.backward()",
        "each = each / 2",
    ),
    "what a hook is given": (
        """
        def hook(module, given, out):
            out /= out.norm()
        net[1].register_forward_hook(hook)
        net(y.detach()).sum().backward()
        """,
        "out = out / out.norm(), and return it",
    ),
    "a function that resets what it is given": (
        """
        def reset(h, done):
            h[done] = 0
        done = torch.tensor([True, False, False, True])
        loss = y.sum()
        reset(y, done)
        loss.backward()
        """,
        "h = torch.where(done, 0, h), and return it",
    ),
    "a function that masks what it is given, which its caller reads again": (
        """
        def drop(x):
            x[x > 0.5] = 0
            return x
        clean = torch.rand(4)
        noisy = drop(clean)
        loss = (w * noisy - clean).square().sum()
        """,
        "x = torch.where(x > 0.5, 0, x)",
    ),
    "a method that has no form out of place": (
        "z = y.outer(w).exp()\nz.fill_diagonal_(0)\nz.sum().backward()",
        "z = z.clone().fill_diagonal_(0), in place of fill_diagonal_()",
    ),
    "a write by something else": (
        """
        net(y.detach()).sum().backward()
        penalty = sum((p.grad * w.sum()).sum() for p in net.parameters())
        opt.zero_grad(set_to_none=False)
        penalty.backward()
        """,
        "clone() the tensor before it is written to",
    ),
    "an attribute that is called data": (
        "class Batch:\n    pass\nbatch = Batch()\nbatch.data = y\nbatch.data.mul_(2)\ny.sum().backward()",
        "batch.data = batch.data.mul(2), in place of mul_()",
    ),
    "a tensor's own data": (
        "v = w * 2\nz = v.square().sum()\nv.data.mul_(2)\nz.backward()",
        "v = v.mul(2), in place of mul_()",
    ),
    "an augmented assignment to data": (
        "z = w.square().sum()\nw.data -= 1\nz.backward()",
        "compute z after that write, or write to w after z.backward(), or clone() it where it is read",
    ),
    "other data for a parameter": (
        "lin = net[2]\nz = lin.weight.square().sum()\nlin.weight.data = torch.ones(1, 4)\nlin(y)\nz.backward()",
        "compute z after that write, or write to Linear.weight after z.backward(), or clone() it where it is read",
    ),
    "a parameter in an attribute": (
        "net[0].weight += 1",
        "new = net[0].weight + 1, and go on with new; or edit it under torch.no_grad(), or compute a new tensor",
    ),
    "memory that is read and written to": ("y[1:] += y[:-1]", "clone() what is written there"),
}


@pytest.mark.parametrize(("program", "cure"), CURES.values(), ids=CURES)
def test_the_cure_fits_the_program(program: str, cure: str, tmp_path: Path) -> None:
    report = watched(program, tmp_path)
    assert report.findings
    assert report.findings[0].cure.says == cure


def test_a_write_that_pytorch_refuses_to_an_optimizer_is_told(tmp_path: Path) -> None:
    program = """
        row = nn.Parameter(torch.rand(1, 4).expand(3, 4))
        adam = torch.optim.Adam([row])
        try:
            row.sum().backward()
            adam.step()
        except RuntimeError:
            pass
        y += 1
        y.sum().backward()
    """
    refused, later = watched(program, tmp_path).findings
    assert (refused.kind, refused.raised_at and refused.raised_at.operation) == ("refused", "adam.step()")
    assert "was expanded" in refused.why
    assert later.cure.says == "y = y + 1"


def test_both_lines_in_a_module_of_ones_own_in_a_sequential(tmp_path: Path) -> None:
    program = """
        class Gate(nn.Module):
            def forward(self, x):
                return torch.sigmoid(x).mul_(x)
        net = nn.Sequential(
            nn.Linear(4, 4),
            Gate(),
        )
        net(y.detach()).sum().backward()
    """
    (finding,) = watched(program, tmp_path).findings
    assert finding.saved_by is not None
    sources = {finding.saved_by.source, *(write.site.source for write in finding.overwritten_by)}
    assert sources == {"return torch.sigmoid(x).mul_(x)"}


def test_a_statement_that_changes_what_a_list_has_just_been_given_is_no_fault(tmp_path: Path) -> None:
    program = """
        outs = []
        for _ in range(3):
            out = w.exp() + 1
            outs.append(out)
            out.mul_(2)
        torch.stack(outs).sum().backward()
    """
    assert watched(program, tmp_path).findings == ()
