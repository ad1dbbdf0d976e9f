"""A cure's edits: the edited program runs, and computes what the program does that was cured by hand."""

from __future__ import annotations

import linecache
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from support.cured_programs import OVERWRITTEN, REFUSED, SILENT, SURROUNDED, faulty_and_cured, run_of, watched

import relu_demo
from relu_demo.edits.cure import cure_of
from relu_demo.edits.edit import Scene, edited, united
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
            edited(cure_of(Scene("refused", "vmap", writers=(writer,))).edits)[str(file)].decode()
            == f"'é'; y = {cured}\n"
        )


def at(file: Path | str, line: int, operation: str) -> Place:
    return Place(operation, "", str(file), line)


@pytest.mark.parametrize(
    ("value", "cured"),
    [
        ("b - 1", "y - (b - 1)"),
        ("(b - 1)", "y - (b - 1)"),
        ("not b", "y - (not b)"),
        ("(b) * 2", "y - ((b) * 2)"),
        ("b", "y - b"),
    ],
)
def test_a_value_gets_parentheses_where_it_needs_them(value: str, cured: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(f"y -= {value}  # why not\n")
    cure = cure_of(Scene("refused", "vmap", writers=(at(file, 1, "__isub__"),)))
    assert edited(cure.edits)[str(file)].decode() == f"y = {cured}  # why not\n"


WRITE = "y = w.exp()\ny += 1\n"


def test_every_write_of_a_fault_is_cured_at_once(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(WRITE + "y *= 2\n")
    writers = at(file, 2, "__iadd__"), at(file, 3, "__imul__")
    cure = cure_of(Scene("overwritten", saver=at(file, 1, "exp"), writers=writers))
    assert edited(cure.edits)[str(file)] == b"y = w.exp()\ny = y + 1\ny = y * 2\n"


@pytest.mark.parametrize("file", ["<stdin>", "<string>", "/not/there.py", "/tmp/ipykernel_1/2.py"])
def test_what_is_no_file_gets_a_sentence(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(linecache.cache, file, (len(WRITE), None, WRITE.splitlines(keepends=True), file))
    scene = Scene("overwritten", saver=at(file, 1, "exp"), writers=(at(file, 2, "__iadd__"),), tensor="y")
    cure = cure_of(scene)
    assert cure.edits == ()
    name = Path(file).name
    assert cure.says == f"clone y where it is saved, {name}:1, or write out of place at {name}:2"


def test_a_file_that_was_changed_since_it_ran_gets_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(WRITE)
    scene = Scene("overwritten", saver=at(file, 1, "exp"), writers=(at(file, 2, "__iadd__"),))
    assert cure_of(scene).edits
    file.write_text("import torch\n" + WRITE)
    assert cure_of(scene).edits == ()


def test_a_step_behind_a_backward_whose_gradients_it_would_use_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "train.py"
    file.write_text("loss = 0\nfor x in data:\n    loss += f(x)\nopt.step()\nloss.backward()\n")
    writer, raised = at(file, 4, "step"), at(file, 5, "backward")
    cure = cure_of(Scene("overwritten", saver=at(file, 3, "mul"), writers=(writer,), raised_at=raised))
    assert edited(cure.edits)[str(file)].decode().endswith("loss.backward()\nopt.step()\n")
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
