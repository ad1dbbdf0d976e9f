"""Small programs with one fault each: the watch names the lines that are marked in them, and the cured one has none."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch
from support.tiers import slow_but

import relu_demo
from relu_demo.watching.report import OVERWRITTEN, REFUSED, WatchReport

pytestmark = pytest.mark.skipif(not hasattr(torch._C, "_current_graph_task_id"), reason="watching takes PyTorch 2.1")

CASES = sorted((Path(__file__).parent / "cases").glob("*.py"))
"""Each has a `scenario`, and comments where it SAVES (keeps, makes a write forbidden), WRITES, RAISES (reads)."""

INDEXING = ("embedding_row", "slots_of_state", "view_without_grad")
"""Those whose lines are known by `x[i]`, which PyTorch 2.3 and older tell no TorchFunctionMode of."""


def program(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"case_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def watched(path: Path, fixed: bool) -> tuple[WatchReport, BaseException | None]:
    case = program(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", relu_demo.SilentInplaceWarning)
        try:
            with relu_demo.watch() as watch:
                case.scenario(fixed=fixed)
        except RuntimeError as error:
            return watch.report, error
    return watch.report, None


def marked(path: Path, mark: str) -> set[int]:
    return {number for number, line in enumerate(path.read_text().splitlines(), 1) if f"# {mark}" in line}


def named(report: WatchReport) -> dict[str, set[int]]:
    """The lines that the report names, by the marks that they should have."""
    lines: dict[str, set[int]] = {"SAVES": set(), "WRITES": set(), "RAISES": set()}
    for finding in report.findings:
        at, by = finding.raised_at, finding.saved_by
        assert at is not None
        lines["SAVES"] |= {by.line} if by else set()
        lines["WRITES"] |= {write.site.line for write in finding.overwritten_by}
        at_the_write = finding.kind == REFUSED and not finding.overwritten_by and "backward" not in at.operation
        lines["WRITES" if at_the_write else "RAISES"] |= {at.line}
    return lines


def skip_indexing(name: str) -> None:
    if name in INDEXING and torch.__version__ < "2.4":
        pytest.skip("this PyTorch does not tell of indexing")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_marked_lines_are_named(path: Path) -> None:
    skip_indexing(path.stem)
    report, _ = watched(path, fixed=False)
    assert report.findings
    assert named(report) == {mark: marked(path, mark) for mark in ("SAVES", "WRITES", "RAISES")}
    for finding in report.findings:
        for site in (finding.raised_at, finding.saved_by, *(write.site for write in finding.overwritten_by)):
            assert site is None or site.source == path.read_text().splitlines()[site.line - 1].strip()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_in_the_cured_program_nothing_is_found(path: Path) -> None:
    report, error = watched(path, fixed=True)
    assert report.findings == ()
    assert error is None


@pytest.mark.parametrize("path", slow_but(8, CASES), ids=lambda path: path.stem)
def test_the_error_begins_with_the_words_that_pytorch_itself_says(path: Path) -> None:
    words = ""
    try:
        program(path).scenario(fixed=False)
    except RuntimeError as plain:
        words = str(plain)
    report, error = watched(path, fixed=False)
    assert report.findings[0].words == words
    if words:
        assert isinstance(error, relu_demo.InplaceError)
        assert isinstance(error, RuntimeError)
        assert str(error).startswith(words)
    else:
        assert error is None


@pytest.mark.parametrize("path", slow_but(8, CASES), ids=lambda path: path.stem)
def test_a_cure_is_called_tried_only_where_a_backward_or_the_write_itself_was_run_with_it(path: Path) -> None:
    report, _ = watched(path, fixed=False)
    for finding in report.findings:
        assert finding.cure.says
        if finding.kind == OVERWRITTEN:
            assert finding.cure.works is True
        elif finding.kind != REFUSED:
            assert finding.cure.works is None


CURES = {
    "actor_critic": "compute actor_loss after opt_critic.step(), or call opt_critic.step() after actor_loss.backward()",
    "coupling_layer": "write to a copy: new = x.clone(), then new[:, 2:] = ..., and go on with new",
    "dropout_as_statement": "inplace=False in that call, and use its result: weights = F.dropout(...)",
    "features_of_layers": "inplace=False for ",
    "function_as_statement": "y = F.relu(y), in place of relu_()",
    "gate_of_chunks": "value.mul(gate.sigmoid()), in place of mul_(); or clone() the view first",
    "scale_given_out": "scale = torch.mul(scale, 0.9), without out=",
    "halves_of_a_sum": "total = total.add(bias), in place of add_(); or make the view after the write",
    "negative_slope": "inplace=False for Sequential.1; or give it a slope above zero",
    "replay_memory": "keep a clone(), not the tensor itself",
    "replay_of_pairs": "keep a clone(), not the tensor itself",
    "reset_of_state": "state = torch.where(done[..., None], 0, state)",
    "second_derivative": "hidden = torch.zeros_like(hidden), in place of zero_()",
    "shared_scores": "give given.detach().clone() there",
    "write_through_an_alias": "write to a copy: h = h.clone() before that line",
    "slots_of_state": "append to a list and torch.stack() it, in place of state[layer] = ...",
}
"""What is advised of some of them."""


@pytest.mark.parametrize("name", CURES)
def test_the_cure_is_code_that_pytorch_has(name: str) -> None:
    skip_indexing(name)
    report, _ = watched(next(path for path in CASES if path.stem == name), fixed=False)
    assert report.findings
    assert all(finding.cure.says.startswith(CURES[name]) for finding in report.findings)


def test_a_write_to_another_part_of_the_memory_is_told_so() -> None:
    report, _ = watched(next(path for path in CASES if path.stem == "coupling_layer"), fixed=False)
    said = " ".join(str(report).split())
    assert "linear in Linear saved x [3, 2] (a view of x [3, 4]), version 0" in said
    assert "wrote another part of that memory, version 1" in said


def test_gradients_are_what_they_were_when_the_backward_met_the_fault() -> None:
    linear = torch.nn.Linear(2, 2)
    linear(torch.ones(1, 2)).sum().backward()
    before = linear.weight.grad
    assert before is not None
    values = before.clone()
    y = linear(torch.ones(1, 2)).sigmoid()
    with relu_demo.watch():
        z = y.exp()
        z.mul_(2)
        with pytest.raises(relu_demo.InplaceError):
            z.sum().backward()
    assert linear.weight.grad is before
    assert torch.equal(before, values)
