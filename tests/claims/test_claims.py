"""The article's claims 1 to 7: each holds, and each would be found out."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import Demo, without_addresses
from support.tiers import examples

from relu_demo.claims.judge import judge
from relu_demo.claims.report import SessionReport, Verdict
from relu_demo.replay.replay import replay
from relu_demo.request import Replay
from relu_demo.session.article import ARTICLE, article
from relu_demo.session.lines import Part, Session


def test_compare_judges_claims_1_to_7(demo: Demo) -> None:
    result = demo("--compare", "--json", "--seed", "7")
    assert [claim["number"] for claim in result.document["claims"]] == [1, 2, 3, 4, 5, 6, 7]
    assert {claim["verdict"] for claim in result.document["claims"]} == {"holds"}
    assert all(claim["evidence"] for claim in result.document["claims"])
    assert (result.code, result.document["ok"]) == (0, True)


def test_an_input_without_negatives_cannot_show_what_is_zeroed(demo: Demo) -> None:
    result = demo("--compare", "--shape", "1,1,3,3", "--seed", "0", "--json")
    claims = {claim["number"]: claim for claim in result.document["claims"]}
    unshown, holds = "this input cannot show it", "holds"
    assert [claim["verdict"] for claim in claims.values()] == [holds, unshown, holds, holds, holds, unshown, holds]
    assert claims[2]["hint"] == "try another seed, say --seed 1"
    assert result.code == 0


def altered(part: Part, old: str, new: str) -> Session:
    """The article's comparison with one line of one half replaced: a PyTorch that behaves otherwise."""
    lines = tuple(dataclasses.replace(line, source=new) if line.source == old else line for line in part.lines)
    session = article(Replay("compare", 7))
    changed = dataclasses.replace(part, lines=lines)
    return dataclasses.replace(session, parts=tuple(changed if p.key == part.key else p for p in session.parts))


TWO = "id(o1) ADDRESS, id(h1) ADDRESS; storage ADDRESS and ADDRESS"


@pytest.mark.parametrize(
    ("part", "new", "failing"),
    [
        (
            "in_place",
            "h1 = rl2(o1)",
            {
                1: TWO,
                2: "0 values changed: 0 of 16 negatives are now zero; version 0, then 0",
                3: "ConvolutionBackward0, then ConvolutionBackward0, whose next_functions lacks the first",
            },
        ),
        (
            "in_place",
            "h1 = o1.mul_(0)",
            {
                2: "27 values changed: 16 of 16 negatives are now zero; version 0, then 1",
                3: "ConvolutionBackward0, then MulBackward0, whose next_functions has the first",
                7: "16 of 27 values of h1 are equal",
            },
        ),
        ("in_place", "h1 = rl1(o1)[:]", {1: TWO}),
        (
            "in_place",
            "h1 = rl1(rl1(o1))",
            {
                2: "16 values changed: 16 of 16 negatives are now zero; version 0, then 2",
                3: "ConvolutionBackward0, then ReluBackward0, whose next_functions lacks the first",
            },
        ),
        (
            "in_place",
            "with torch.no_grad(): o1 = conv1(input); h1 = rl1(o1)",
            {3: "ConvolutionBackward0, then None, whose next_functions lacks the first"},
        ),
        (
            "out_of_place",
            "h1 = rl1(o1)",
            {4: TWO, 5: "16 of 27 values changed; version 0, then 1; another ReluBackward0"},
        ),
        (
            "out_of_place",
            "h1 = o1.view_as(o1)",
            {
                4: TWO,
                6: "11 of 27 values are max(0, o1); 16 were negative",
                7: "11 of 27 values of h1 are equal",
            },
        ),
        (
            "out_of_place",
            "h1 = rl2(o1); o1.add_(0)",
            {5: "0 of 27 values changed; version 0, then 1; another AddBackward0"},
        ),
        (
            "out_of_place",
            "h1 = rl2(o1); o1.detach().add_(0)",
            {5: "0 of 27 values changed; version 0, then 1; the same ConvolutionBackward0"},
        ),
    ],
)
def test_a_pytorch_that_behaves_otherwise_is_found_out(part: str, new: str, failing: dict[int, str]) -> None:
    half = next(each for each in ARTICLE["compare"][1] if each.key == part)
    trace = replay(altered(half, "h1 = rl1(o1)" if part == "in_place" else "h1 = rl2(o1)", new))
    findings = judge(trace)
    found = {each.number: without_addresses(each.evidence) for each in findings if each.verdict is Verdict.FAILS}
    assert found == failing
    assert not SessionReport(trace, findings).ok


shapes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(3, 9), st.integers(3, 9))


@settings(max_examples=examples(20))
@given(seed=st.integers(-(2**63), 2**64 - 1), shape=shapes, dtype=st.sampled_from(["float32", "float64", "bfloat16"]))
def test_no_claim_fails_for_any_seed_shape_or_dtype(seed: int, shape: tuple[int, int, int, int], dtype: str) -> None:
    trace = replay(article(Replay("compare", seed, shape, dtype=dtype)))
    findings = judge(trace)
    assert SessionReport(trace, findings).ok, findings
    negatives = trace.parts["in_place"].moments["o1_before"].state.summary.negatives
    unshown = {finding.number for finding in findings if finding.verdict is Verdict.UNSHOWN}
    assert unshown == (set() if negatives else {2, 6})
