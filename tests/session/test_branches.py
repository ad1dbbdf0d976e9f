"""Two branches that read one tensor: the silent fault, the loud one, their cures, and the leaf."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.commands import COMMAND, Result, schema
from support.processes import command_environment
from support.tiers import examples
from torch import nn

from relu_demo.claims.judge import judge
from relu_demo.claims.report import SessionReport, Verdict
from relu_demo.replay.replay import replay
from relu_demo.request import Replay
from relu_demo.session.branches import branches
from relu_demo.session.lines import Session
from relu_demo.views.tables import text_of_tables


@pytest.fixture(scope="module")
def document() -> Any:
    command = [*COMMAND, "--branches", "--json", "--seed", "7"]
    done = subprocess.run(command, env=command_environment(), capture_output=True, encoding="utf-8")
    result = Result(done.returncode, done.stdout, done.stderr)
    assert result.code == 0
    jsonschema.validate(result.document, schema(), jsonschema.Draft202012Validator)
    return result.document


def with_line(part: str, old: str, new: str, session: Session | None = None) -> Session:
    """The session of the branches, or another, with a line of that part replaced."""
    session = session or branches(Replay("branches", 7))
    parts = []
    for each in session.parts:
        lines = [dataclasses.replace(line, source=new) if line.source == old else line for line in each.lines]
        parts.append(dataclasses.replace(each, lines=tuple(lines)) if each.key == part else each)
    return dataclasses.replace(session, parts=tuple(parts))


def truth(seed: int, inplace: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """h2 and both gradients of the network with ReLU first, written without relu_demo."""
    torch.manual_seed(seed)
    conv1, input = nn.Conv2d(3, 3, 3), torch.randn(1, 3, 5, 5)
    conv2 = nn.Conv2d(3, 3, 3, padding=1)
    x = conv1(input)
    h1 = nn.ReLU(inplace=inplace)(x)
    h2 = conv2(x)
    (h1.sum() + h2.sum()).backward()
    assert conv1.weight.grad is not None
    assert conv2.weight.grad is not None
    return h2.detach(), conv1.weight.grad, conv2.weight.grad


def test_the_silent_fault_is_measured(document: Any) -> None:
    moments = document["parts"]["relu_first_in_place"]["moments"]
    right = document["parts"]["relu_first_out_of_place"]["moments"]
    assert (moments["x"]["version"], right["x"]["version"]) == (1, 0)
    assert moments["x"]["changed"] == right["x"]["summary"]["negatives"] > 0
    for key, wrong, correct in zip(("h2", "conv1_grad", "conv2_grad"), truth(7, True), truth(7, False), strict=True):
        assert moments[key]["largest"] == pytest.approx(float((wrong - correct).abs().max()), rel=1e-5)
        assert moments[key]["largest"] > 0.01
    assert [line["error"] for line in document["parts"]["relu_first_in_place"]["lines"] if line["error"]] == []


def test_the_loud_fault_has_pytorchs_words_and_both_lines(document: Any) -> None:
    part = document["parts"]["conv2_first_in_place"]
    assert part["moments"]["h1"]["changed"] == part["moments"]["h2"]["changed"] == 0
    errors = [line["error"] for line in part["lines"] if line["error"]]
    conv1, conv2 = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3, padding=1)
    x = conv1(torch.randn(1, 3, 5, 5))
    h2 = conv2(x)
    h1 = nn.ReLU(inplace=True)(x)
    with pytest.raises(RuntimeError) as raised:
        (h1.sum() + h2.sum()).backward()
    assert errors == [str(raised.value)]
    claim = next(claim for claim in document["claims"] if claim["number"] == 15)
    assert "h2 = conv2(x) saved x at version 0" in claim["evidence"]
    assert "h1 = rl1(x) overwrote it: version 1" in claim["evidence"]
    assert claim["verdict"] == "holds"


@pytest.mark.parametrize("cure", ["conv2_first_out_of_place", "clone", "no_backward"])
def test_each_cure_gives_the_right_numbers(document: Any, cure: str) -> None:
    part = document["parts"][cure]
    assert {"h1", "h2"} <= set(part["moments"])
    assert all(moment["changed"] == 0 for moment in part["moments"].values())
    assert all(line["error"] is None for line in part["lines"])


def test_each_statement_is_a_claim_with_a_verdict_and_its_evidence(document: Any) -> None:
    assert [claim["number"] for claim in document["claims"]] == list(range(9, 20))
    assert {claim["verdict"] for claim in document["claims"]} == {"holds"}
    assert all(claim["evidence"] for claim in document["claims"])


@pytest.mark.parametrize(
    ("part", "old", "new", "failing"),
    [
        (
            "relu_first_in_place",
            "h1 = rl1(x)",
            "h1 = rl2(x)",
            {
                9: "version 0 in place, 0 not; 0 of 27 values differ",
                10: "h2 is the same",
                11: "conv1.weight.grad is the same; conv2.weight.grad is the same",
            },
        ),
        (
            "relu_first_in_place",
            "h1 = rl1(x)",
            "h1 = rl1(rl1(x))",
            {9: "version 2 in place, 0 not; 16 of 27 values differ", 12: "1 error, 0 warnings in 11 lines"},
        ),
        ("relu_first_in_place", "(h1.sum() + h2.sum()).backward()", "pass", {11: "backward() gave none"}),
        (
            "relu_first_in_place",
            "h2 = conv2(x)",
            "h2 = conv2(x); import warnings; warnings.warn('x was overwritten')",
            {12: "0 errors, 1 warning in 11 lines"},
        ),
        (
            "conv2_first_in_place",
            "h1 = rl1(x)",
            "h1 = rl2(x)",
            {14: "it did not", 15: "no line saved x, or none overwrote it"},
        ),
        ("conv2_first_in_place", "h2 = conv2(x)", "h2 = conv2(x) + 1", {13: "h1 is the same; h2 is off by up to 1"}),
        (
            "conv2_first_out_of_place",
            "h1 = rl2(x)",
            "h1 = rl1(x)",
            {16: "h1 is the same; h2 is the same; one of the variables needed"},
        ),
        ("clone", "h1 = rl1(x.clone())", "h1 = rl1(x)", {17: "h1 is the same; h2 is off by up to 0.332; conv1.weight"}),
        ("leaf", "rl1(leaf)", "rl2(leaf)", {19: "nothing was raised"}),
        ("leaf", "rl1(leaf)", "leaf.detach().add_(0); rl1(leaf)", {19: "a leaf Variable that requires grad"}),
    ],
)
def test_a_pytorch_that_behaves_otherwise_is_found_out(part: str, old: str, new: str, failing: dict[int, str]) -> None:
    trace = replay(with_line(part, old, new))
    findings = judge(trace)
    failed = {finding.number: finding.evidence for finding in findings if finding.verdict is Verdict.FAILS}
    assert failed.keys() == failing.keys()
    assert all(failed[number].startswith(evidence) for number, evidence in failing.items())
    assert not SessionReport(trace, findings).ok


def convolves(dtype: str) -> bool:
    """Whether the CPU convolves that dtype: PyTorch 1.13 does not know all of them."""
    try:
        layer = nn.Conv2d(1, 1, 3, dtype=getattr(torch, dtype))
        layer(torch.zeros(1, 1, 3, 3, dtype=getattr(torch, dtype)))
    except RuntimeError:
        return False
    return True


HALF = [dtype for dtype in ("bfloat16", "float16") if convolves(dtype)]
shapes = st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(3, 8), st.integers(3, 8))


@settings(max_examples=examples(20), deadline=None)
@given(seed=st.integers(0, 2**64 - 1), shape=shapes, dtype=st.sampled_from(["float32", "float64"]))
def test_no_claim_fails_for_any_seed_shape_or_dtype(seed: int, shape: tuple[int, int, int, int], dtype: str) -> None:
    trace = replay(branches(Replay("branches", seed, shape, dtype=dtype)))
    findings = judge(trace)
    assert SessionReport(trace, findings).ok, [finding for finding in findings if finding.verdict is Verdict.FAILS]
    negatives = list(trace.parts.values())[1].moments["x"].state.summary.negatives
    unshown = {finding.number for finding in findings if finding.verdict is Verdict.UNSHOWN}
    assert unshown == (set() if negatives else {9, 10, 11})


@settings(max_examples=examples(20), deadline=None)
@given(seed=st.integers(0, 2**64 - 1), shape=shapes, dtype=st.sampled_from(HALF))
@example(seed=15844317045080550582, shape=(1, 1, 3, 7), dtype="bfloat16")
def test_what_half_precision_rounds_away_is_not_shown_and_does_not_fail(
    seed: int, shape: tuple[int, int, int, int], dtype: str
) -> None:
    findings = judge(replay(branches(Replay("branches", seed, shape, dtype=dtype))))
    assert all(finding.ok for finding in findings), [finding for finding in findings if not finding.ok]
    unshown = {finding.number: finding for finding in findings if finding.verdict is Verdict.UNSHOWN}
    assert set(unshown) <= {9, 10, 11}
    for finding in unshown.values():
        assert finding.hint.startswith("try another seed")


def test_right_gradients_of_a_wrong_forward_would_be_found_out() -> None:
    backward = "(h1.sum() + h2.sum()).backward()"
    keeps = f"{backward}; g1 = conv1.weight.grad.clone(); g2 = conv2.weight.grad.clone()"
    puts = f"{backward}; conv1.weight.grad.copy_(g1); conv2.weight.grad.copy_(g2)"
    session = with_line("relu_first_in_place", backward, puts, with_line("relu_first_out_of_place", backward, keeps))
    findings = judge(replay(session))
    assert [finding.number for finding in findings if finding.verdict is Verdict.FAILS] == [11]


def test_a_cure_that_cures_nothing_is_shown_as_a_fault() -> None:
    trace = replay(with_line("clone", "h1 = rl1(x.clone())", "h1 = rl1(x)"))
    screen = text_of_tables(SessionReport(trace, judge(trace)))
    shown = screen[screen.index("Cure: x.clone() before the branch\n") : screen.index("Cure: conv2 first")]
    assert ">>> h1 = rl1(x)" in shown
    assert re.search(r"^h2 +\*27 of 27", shown, re.MULTILINE)
    assert "2 of 3 cures give the right numbers." in " ".join(screen.split())


def test_a_claim_that_fails_has_its_evidence() -> None:
    session = branches(Replay("branches", 7))
    trace = replay(session)
    report = SessionReport(trace, judge(trace))
    failing = [dataclasses.replace(one, verdict=Verdict.FAILS) if one.number == 16 else one for one in report.claims]
    screen = text_of_tables(SessionReport(trace, tuple(failing)))
    assert re.search(r"^8 +does not hold  inplace=False", screen, re.MULTILINE)
    assert "h1 is the same; h2 is the same" in screen
    assert "10 of 11 claims hold; claim 8 does not hold." in screen
