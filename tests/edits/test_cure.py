"""A cure's edits: the edited program runs, and computes what the program does that was cured by hand."""

from __future__ import annotations

import linecache
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from support.cured_programs import OVERWRITTEN, REFUSED, SILENT, SURROUNDED, faulty_and_cured, run_of, watched

import relu_demo
from relu_demo.edits.cure import cure_of
from relu_demo.edits.edit import Cure, Scene, edited, united
from relu_demo.sanitizer.place import Place

PROGRAMS = [
    pytest.param(kind, text, id=f"{kind}, {name}")
    for kind, programs in (("overwritten", OVERWRITTEN), ("silent", SILENT), ("refused", REFUSED))
    for name, text in programs.items()
]


def result_of(source: str | bytes, file: Path) -> torch.Tensor:
    result = run_of(source, file)["result"]
    assert isinstance(result, torch.Tensor)
    return result.detach()


@pytest.mark.parametrize(("kind", "text"), PROGRAMS)
def test_the_edited_program_runs_and_computes_what_the_cured_one_does(kind: str, text: str, tmp_path: Path) -> None:
    faulty, cured = faulty_and_cured(text)
    file = tmp_path / "program.py"
    file.write_text(faulty)
    right = result_of(cured, tmp_path / "cured.py")
    with suppress(RuntimeError), relu_demo.watch() as watch:
        wrong = result_of(faulty, file)
        assert kind == "silent"
        assert not torch.allclose(wrong.float(), right.float())
    assert {finding.kind for finding in watch.report.findings} == {kind}
    cures = [finding.cure for finding in watch.report.findings]
    assert all(cure.edits for cure in cures), cures
    (source,) = edited(united(cure.edits for cure in cures)).values()
    got = result_of(source, file)
    assert torch.allclose(got.float(), right.float(), atol=1e-6)
    assert got.dtype == right.dtype


@pytest.mark.parametrize("text", SURROUNDED.values(), ids=SURROUNDED)
def test_with_its_edits_nothing_is_found(text: str, tmp_path: Path) -> None:
    report, _ = watched(faulty_and_cured(text)[0], tmp_path / "program.py")
    (source,) = edited(united(finding.cure.edits for finding in report.findings)).values()
    assert watched(source.decode(), tmp_path / "edited.py")[0].findings == ()


def test_of_two_writes_on_one_line_the_instruction_tells_which(tmp_path: Path) -> None:
    text = "'é'; y = f(a.mul_(2), b.mul_(3))\n"
    file = tmp_path / "program.py"
    file.write_text(text)
    code = compile(text, str(file), "exec")
    for name, cured in (("a", "f(a.mul(2), b.mul_(3))"), ("b", "f(a.mul_(2), b.mul(3))")):
        first = len(text[: text.index(f"{name}.mul_")].encode())
        whole = first, first + len(f"{name}.mul_(2)")
        at = max(number for number, (_, _, *columns) in enumerate(code.co_positions()) if (*columns,) == whole)
        writer = Place("mul_", "", str(file), 1, frames=((code, 2 * at),))
        assert (
            edited(cure_of(Scene("refused", "out", writers=(writer,))).edits)[str(file)].decode()
            == f"'é'; y = {cured}\n"
        )


def at(file: Path | str, line: int, operation: str) -> Place:
    return Place(operation, "", str(file), line)


NET, STEP = "s = net(x)  # S linear\n", "opt.step()  # W step\n"
LEAF = "import torch as t\nw = t.ones(2, requires_grad=True)\n"
PARTS = {"S": "saver", "M": "made_by", "R": "raised_at", "B": "built_at"}


def cure_in(reason: str, text: str, file: Path, **known: Any) -> Cure:
    """The cure of a fault whose places comments tell of: `# W mul_` stands behind a line that writes by `mul_`."""
    file.write_text(text)
    writers = []
    for number, line in enumerate(text.splitlines(), 1):
        for part, operation in re.findall(r"\b([SMRBW]) (\w+)", line.partition("  # ")[2]):
            place = at(file, number, operation)
            known |= {PARTS[part]: place} if part in PARTS else {}
            writers += [place] if part == "W" else []
    kind: Any = reason if reason in ("overwritten", "silent") else "refused"
    return cure_of(Scene(kind, "" if kind == reason else reason, writers=tuple(writers), **known))


@pytest.mark.parametrize(
    ("reason", "text", "cured"),
    [
        ("out", "y -= b - 1  # W __isub__", "y = y - (b - 1)"),
        ("out", "y -= (b - 1)  # W __isub__", "y = y - (b - 1)"),
        ("out", "y -= not b  # W __isub__", "y = y - (not b)"),
        ("out", "y //= (b) * 2  # W __ifloordiv__", "y = y // ((b) * 2)"),
        ("out", "y -= b  # W __isub__", "y = y - b"),
        ("out", "y -= w - (1 -  # W __isub__\n      w)", "y = y - (w - (1 -\n      w))"),
        ("out", "y \\\n    -= b  # W __isub__", "y = y.clone()\ny \\\n    -= b"),
        ("out", "d['k'] -= b  # W __isub__", "d['k'] = d['k'] - b"),
        ("out", "d[f()]['k'] -= b  # W __isub__", ""),
        ("out", "y = 2\ny.data.mul_(2)  # W mul_", "y = 2\ny = y.mul(2)"),
        ("out", "y.fill_diagonal_(0)  # W fill_diagonal_", "y = y.clone().fill_diagonal_(0)"),
        ("out", "y.view(-1)[:2].mul_(3)  # W mul_", "y = y.clone()\ny.view(-1)[:2].mul_(3)"),
        ("out", "z = y.sub_(1)  # W sub_\ny", "y = y.clone()\nz = y.sub_(1)\ny"),
        ("out", "from torch.nn import functional as F\ny = F.elu(y, 1.0, True)  # W elu_", "y = F.elu(y, 1.0, False)"),
        ("out", "import torch\nz = torch.relu_(y)  # W relu_", "z = torch.relu(y)"),
        ("out", "import torch\nf(torch.mul(x, y, out=z))  # W mul", ""),
        ("out", "import torch\ntorch.mul(out=z, input=y, other=y)  # W mul", ""),
        ("out", "while x.mul_(2).sum() < 3:  # W mul_\n    pass", ""),
        ("out", "while y.sum() < 3:\n    z = y.mul_(2)  # W mul_", "    y = y.clone()\n    z = y.mul_(2)"),
        ("out", "def f(x): return x[0].relu_()  # W relu_", "def f(x): return x[0].relu()"),
        ("out", "def f(x): return x.fill_(x[0])  # W fill_", "def f(x): return x.clone().fill_(x[0])"),
        ("out", "from torch.nn import init\ninit.eye_(w)  # W eye_", "w = w.clone()\ninit.eye_(w)"),
        ("out", "new = 1\ny[0] = y[1]  # W __setitem__", "new2 = y.clone()\nnew2[0] = y[1]\ny = new2"),
        ("leaf", f"{LEAF}w += 1  # W __iadd__", "with t.no_grad():\n    w += 1"),
        ("leaf", f"{LEAF}m.w.mul_(m.w.grad)  # W mul_", "with t.no_grad():\n    m.w.mul_(m.w.grad)"),
        ("leaf", f"{LEAF}if w: w += 1  # W __iadd__", "if w: w = w + 1"),
        ("leaf", "from x import t\nw = f(requires_grad=True)\nw += 1  # W __iadd__", "w = w + 1"),
        ("leaf", f"{LEAF}def forward(y):\n    x = y()\n    x += x.grad  # W __iadd__", "    x = x + x.grad"),
        ("several-views", "for r in x.t():  # M __iter__\n    r += x  # W __iadd__", "    r = r + x"),
        ("several-views", "for r in x:  # M __iter__\n    r += 1  # W __iadd__", "for r in x:\n    r = r + 1"),
        ("several-views", "for i in a:  # M f\n    i += 1  # W f\na", "[i] for i in range(len(a))):\n    i += 1\na"),
        ("several-views", "for x in i:  # M f\n    x += 1  # W f\ni", "row] for row in range(len(i))):\n    x += 1\ni"),
        ("several-views", "for x in enumerate(y):  # M f\n    x += 1  # W f\ny", " range(len(y)))):\n    x += 1\ny"),
        ("overlap", "x[1:] += z  # W __iadd__", "x = x.clone()\nx[1:] += z"),
        ("overlap", "x[1:] += x[:-1].t()  # W __iadd__", "x[1:] += x[:-1].t().clone()"),
        ("silent", "y = w.exp()  # S exp\ny += 1  # W __iadd__\ny *= 2  # W __imul__", "y = y + 1\ny = y * 2"),
        ("silent", f"{NET}for y in s:\n    s += y\n{STEP}print()\ns.backward()  # R f", ")\ns.backward()\nopt.step()"),
        ("silent", f"{NET}s += 1\n{STEP}log(s)\ns.backward()  # R f", ""),
        ("silent", f"{NET}s += 1\n{STEP}s.backward(); s = 1  # R f", ""),
        ("silent", f"{NET}{STEP}x = g()\ns.backward()  # R f", ""),
        ("silent", f"{NET}s.backward()  # R f\n{STEP}", ""),
        ("silent", f"{NET}s += 1\n{STEP}if s:\n    s.backward()  # R f\n    print()", ""),
        ("silent", f"def f():\n    {NET}s = f()\n{STEP}s.backward()  # R f", "s = f()\ns.backward()\nopt.step()"),
        ("silent", f"{NET}t = s + 1\nu, _ = t, 2\n{STEP}t.backward()  # R f", ")\ns = net(x)\nt = s + 1\nt.backward()"),
        ("silent", f"{NET}s += 1\nif s:\n    {STEP}s.backward()  # R f", "s += 1\ns.backward()\nif s:\n    opt.step()"),
        ("silent", f"s, b = net(x), 1  # S f\n{STEP}s.backward()  # R f", "step()\ns = net(x)\ns.backward()"),
        ("silent", f"s = t = net(x)  # S f\n{STEP}s.backward()  # R f", "net(x)\ns.backward()\nopt.step()"),
    ],
)  # fmt: skip
def test_each_line_that_writes_has_its_edit(reason: str, text: str, cured: str, tmp_path: Path) -> None:
    cure = cure_in(reason, text, file := tmp_path / "program.py")
    source = re.sub("  # .*", "", edited(cure.edits).get(str(file), b"").decode())
    assert source.endswith(cured)
    assert bool(source) is bool(cured)


WRITE = "y = w.exp()  # S exp\ny += 1  # W __iadd__\n"


@pytest.mark.parametrize("file", ["<stdin>", "<string>", "/not/there.py", "/tmp/ipykernel_1/2.py"])
def test_what_is_no_file_gets_a_sentence(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(linecache.cache, file, (len(WRITE), None, WRITE.splitlines(keepends=True), file))
    scene = Scene("overwritten", saver=at(file, 1, "exp"), writers=(at(file, 2, "__iadd__"),), tensor="y")
    cure = cure_of(scene)
    assert cure.edits == ()
    name = Path(file).name
    assert cure.says == f"clone y where it is saved, {name}:1, or write out of place at {name}:2"


def test_a_file_that_was_changed_since_it_ran_gets_a_sentence(tmp_path: Path) -> None:
    assert cure_in("overwritten", WRITE, tmp_path / "program.py").edits
    assert not cure_in("overwritten", "import torch\n" + WRITE, tmp_path / "program.py").edits


def test_a_step_behind_a_backward_whose_gradients_it_would_use_is_warned_of(tmp_path: Path) -> None:
    text = "loss = 0\nfor x in data:\n    loss += f(x)  # S mul\nopt.step()  # W step\nloss.backward()  # R backward\n"
    cure = cure_in("overwritten", text, tmp_path / "train.py")
    (source,) = edited(cure.edits).values()
    assert source.decode().endswith("loss.backward()  # R backward\nopt.step()  # W step\n")
    assert cure.warning == "its gradients are then added to those that opt.step() uses"


@pytest.mark.parametrize(
    ("loop", "anew"),
    [
        ("for k, h in hs.items():\n    h *= 2", "h = h * 2"),
        ("for h, n in zip(hs.values(), (2, 3)):\n    h.mul_(n)", "h = h.mul(n)"),
        ("for i, h in enumerate(list(hs.values())):\n    h.mul_(2)", "h = h.mul(2)"),
        ("for p in net.parameters():\n    p.data.mul_(2)", "p = p"),
    ],
)
def test_what_a_loop_takes_from_a_container_is_not_bound_anew(loop: str, anew: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(
        "import torch\nnet = torch.nn.Linear(3, 3)\nw = torch.rand(2, 3, requires_grad=True)\n"
        f"hs = {{'p': net(w).exp(), 'q': w.exp()}}\n{loop}\nresult = sum(hs.values()).sum()\nresult.backward()\n"
    )
    report, _ = watched(file.read_text(), file)
    assert report.findings
    for finding in report.findings:
        assert finding.cure.says
        assert anew not in (finding.cure.diff or "")
