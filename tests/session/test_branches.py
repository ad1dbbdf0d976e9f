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
from support.commands import COMMAND, Demo, Result, schema
from support.processes import command_environment
from support.tiers import examples, slow_but
from torch import nn

from relu_demo.claims.judge import judge
from relu_demo.claims.report import SessionReport, Verdict
from relu_demo.replay.replay import replay
from relu_demo.request import Replay
from relu_demo.session.branches import branches
from relu_demo.session.lines import Line
from relu_demo.views.tables import text_of_tables


@pytest.fixture(scope="module")
def document() -> Any:
    command = [*COMMAND, "--branches", "--json", "--seed", "7"]
    done = subprocess.run(command, env=command_environment(), capture_output=True, encoding="utf-8")
    result = Result(done.returncode, done.stdout, done.stderr)
    assert result.code == 0
    jsonschema.validate(result.document, schema(), jsonschema.Draft202012Validator)
    return result.document


def sources(document: Any, part: str) -> list[str]:
    return [line["source"] for line in document["parts"][part]["lines"]]


def in_order(lines: list[str], *wanted: str) -> bool:
    return [line for line in lines if line in wanted] == list(wanted)


def test_the_articles_network_runs_in_both_orders_in_place_and_not(document: Any) -> None:
    for part, relu in (("relu_first_in_place", "rl1"), ("relu_first_out_of_place", "rl2")):
        assert in_order(sources(document, part), "x = conv1(input)", f"h1 = {relu}(x)", "h2 = conv2(x)")
    for part, relu in (("conv2_first_in_place", "rl1"), ("conv2_first_out_of_place", "rl2")):
        assert in_order(sources(document, part), "x = conv1(input)", "h2 = conv2(x)", f"h1 = {relu}(x)")


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


def test_a_leaf_that_requires_grad_is_refused_in_pytorchs_words(document: Any) -> None:
    part = document["parts"]["leaf"]
    with pytest.raises(RuntimeError) as raised:
        nn.ReLU(inplace=True)(torch.randn(3, requires_grad=True))
    assert [line["error"] for line in part["lines"] if line["error"]] == [str(raised.value)]
    assert part["moments"]["leaf"]["version"] == 0


def test_each_statement_is_a_claim_with_a_verdict_and_its_evidence(document: Any) -> None:
    assert [claim["number"] for claim in document["claims"]] == list(range(9, 20))
    assert {claim["verdict"] for claim in document["claims"]} == {"holds"}
    assert all(claim["evidence"] for claim in document["claims"])


@pytest.mark.parametrize(
    ("part", "old", "new", "failing"),
    [
        ("relu_first_in_place", "h1 = rl1(x)", "h1 = rl2(x)", {9, 10, 11}),
        (
            "relu_first_in_place",
            "h2 = conv2(x)",
            "h2 = conv2(x); import warnings; warnings.warn('x was overwritten')",
            {12},
        ),
        ("conv2_first_in_place", "h1 = rl1(x)", "h1 = rl2(x)", {14, 15}),
        ("conv2_first_in_place", "h2 = conv2(x)", "h2 = conv2(x) + 1", {13, 15}),
        ("conv2_first_out_of_place", "h1 = rl2(x)", "h1 = rl1(x)", {16}),
        ("clone", "h1 = rl1(x.clone())", "h1 = rl1(x)", {17}),
        ("leaf", "rl1(leaf)", "rl2(leaf)", {19}),
    ],
)
def test_a_pytorch_that_behaves_otherwise_is_found_out(part: str, old: str, new: str, failing: set[int]) -> None:
    session = branches(Replay("branches", 7))
    parts = []
    for each in session.parts:
        lines = [dataclasses.replace(line, source=new) if line.source == old else line for line in each.lines]
        parts.append(dataclasses.replace(each, lines=tuple(lines)) if each.key == part else each)
    trace = replay(dataclasses.replace(session, parts=tuple(parts)))
    findings = judge(trace)
    assert {finding.number for finding in findings if finding.verdict is Verdict.FAILS} == failing
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


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**64 - 1), shape=shapes, dtype=st.sampled_from(["float32", "float64"]))
def test_no_claim_fails_for_any_seed_shape_or_dtype(seed: int, shape: tuple[int, int, int, int], dtype: str) -> None:
    trace = replay(branches(Replay("branches", seed, shape, dtype=dtype)))
    findings = judge(trace)
    assert SessionReport(trace, findings).ok, [finding for finding in findings if finding.verdict is Verdict.FAILS]
    negatives = list(trace.parts.values())[1].moments["x"].state.summary.negatives
    unshown = {finding.number for finding in findings if finding.verdict is Verdict.UNSHOWN}
    assert unshown == (set() if negatives else {9, 10, 11})


@settings(max_examples=examples(50), deadline=None)
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
    session = branches(Replay("branches", 7))
    right = "conv1.weight.grad.copy_(g1); conv2.weight.grad.copy_(g2)"
    parts = []
    for part in session.parts:
        lines = list(part.lines)
        if part.key == "relu_first_out_of_place":
            lines += [Line("g1 = conv1.weight.grad.clone()"), Line("g2 = conv2.weight.grad.clone()")]
        if part.key == "relu_first_in_place":
            after = next(number for number, line in enumerate(lines) if "backward()" in line.source) + 1
            lines.insert(after, Line(right))
        parts.append(dataclasses.replace(part, lines=tuple(lines)))
    findings = judge(replay(dataclasses.replace(session, parts=tuple(parts))))
    assert [finding.number for finding in findings if finding.verdict is Verdict.FAILS] == [11]


def test_who_saved_and_who_overwrote_x_stand_below_the_loud_fault(demo: Demo) -> None:
    out = demo("--branches", "--seed", "7").out
    silent = out[out.index("ReLU first, in place") : out.index("conv2 first, in place")]
    assert "\nPyTorch  says nothing\n" in silent
    loud = out[out.index("conv2 first, in place") : out.index("Cure:")]
    assert "saved        h2 = conv2(x)  ConvolutionBackward0 keeps x, version 0\n" in loud
    assert "overwritten  h1 = rl1(x)  x is at version 1\n" in loud
    assert "RuntimeError: one of the variables" in loud
    assert "inplace operation" in loud


@pytest.mark.parametrize("columns", slow_but(1, [80, 40, 120]))
def test_the_screen_fits(demo: Demo, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for shape in ("1,3,5,5", "2,3,300,300"):
        arguments = ("--branches", "--seed", "7", "--shape", shape)
        result = demo(*arguments)
        assert result.code == 0
        assert max(map(len, result.out.splitlines())) <= columns
        moments = demo(*arguments, "--json").document["parts"]["relu_first_in_place"]["moments"].values()
        for moment in moments:
            assert moment["title"] in result.out
            if moment["changed"]:
                assert f"*{moment['changed']:,} of {moment['summary']['elements']:,}" in result.out
                assert f"*{moment['largest']:.4g}" in result.out


def test_a_cure_is_shown_with_its_line_and_one_that_cures_nothing_is_shown_as_a_fault() -> None:
    session = branches(Replay("branches", 7))
    trace = replay(session)
    screen = text_of_tables(SessionReport(trace, judge(trace)))
    cure = screen.partition("\nCure: x.clone() before the branch\n")[2]
    assert re.match(
        r">>> h1 = rl1\(x\.clone\(\)\) +# overwrites the copy\nright again: h1, h2, both gradients\n\n", cure
    )
    assert " ".join(screen.split()).endswith("3 of 3 cures give the right numbers.")
    faults = re.findall(r"^(?:.*: the (?:silent|loud) fault|The third fault: .*)$", screen, re.MULTILINE)
    assert (len(faults), "three faults" in screen.splitlines()[0]) == (3, True)
    parts = []
    for part in session.parts:
        lines = [
            dataclasses.replace(line, source="h1 = rl1(x)") if line.source == "h1 = rl1(x.clone())" else line
            for line in part.lines
        ]
        parts.append(dataclasses.replace(part, lines=tuple(lines)))
    trace = replay(dataclasses.replace(session, parts=tuple(parts)))
    screen = text_of_tables(SessionReport(trace, judge(trace)))
    shown = screen[screen.index("Cure: x.clone() before the branch\n") : screen.index("Cure: conv2 first")]
    assert ">>> h1 = rl1(x)" in shown
    assert re.search(r"^h2 +\*27 of 27", shown, re.MULTILINE)
    assert "2 of 3 cures give the right numbers." in " ".join(screen.split())


def test_claims_are_numbered_from_1_and_one_that_fails_has_its_evidence() -> None:
    session = branches(Replay("branches", 7))
    trace = replay(session)
    report = SessionReport(trace, judge(trace))
    assert re.findall(r"^(\d+) +holds ", text_of_tables(report), re.MULTILINE) == list(map(str, range(1, 12)))
    assert "is the same" not in text_of_tables(report)  # the evidence of claims that hold
    failing = [dataclasses.replace(one, verdict=Verdict.FAILS) if one.number == 16 else one for one in report.claims]
    screen = text_of_tables(SessionReport(trace, tuple(failing)))
    assert re.search(r"^8 +does not hold  inplace=False", screen, re.MULTILINE)
    assert "h1 is the same; h2 is the same" in screen
    assert "10 of 11 claims hold; claim 8 does not hold." in screen


def test_an_input_without_negatives_is_told_what_to_try() -> None:
    trace = replay(branches(Replay("branches", 7)))
    findings = [dataclasses.replace(one, verdict=Verdict.UNSHOWN, hint="try 8") for one in judge(trace)[:3]]
    screen = text_of_tables(SessionReport(trace, (*findings, *judge(trace)[3:])))
    assert "8 of 11 claims hold; this input cannot show claims 1, 2 and 3; try 8." in " ".join(screen.split())
