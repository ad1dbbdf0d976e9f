"""--article: the article's own numbers, every one of the 162 that its session prints."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import Demo
from support.tiers import examples

from relu_demo.claims.judge import judge
from relu_demo.claims.report import SessionReport
from relu_demo.replay.replay import replay
from relu_demo.request import WHOLE, Replay
from relu_demo.session.article import article
from relu_demo.session.sessions import SESSIONS

BEFORE = """\
tensor([[[[-0.1162,  0.5905,  1.0601],
          [-0.1423,  0.7013,  0.1079],
          [ 0.1096, -0.3253, -0.6799]],

         [[ 0.3407,  0.5013, -0.2121],
          [-0.6805, -0.8362,  0.3360],
          [ 1.1606, -0.2564,  0.2965]],

         [[ 0.4317, -0.2480,  0.2381],
          [-0.0314, -0.0850,  0.1920],
          [-0.2762,  0.0338, -0.2298]]]], grad_fn=<...>)
"""
AFTER = """\
tensor([[[[0.0000, 0.5905, 1.0601],
          [0.0000, 0.7013, 0.1079],
          [0.1096, 0.0000, 0.0000]],

         [[0.3407, 0.5013, 0.0000],
          [0.0000, 0.0000, 0.3360],
          [1.1606, 0.0000, 0.2965]],

         [[0.4317, 0.0000, 0.2381],
          [0.0000, 0.0000, 0.1920],
          [0.0000, 0.0338, 0.0000]]]], grad_fn=<...>)
"""
"""What the article prints for o1 before ReLU and for what ReLU leaves, apart from the names of nodes."""

PRINTED = [BEFORE, AFTER, AFTER, BEFORE, BEFORE, AFTER]
"""The six tensors of the session: o1, o1 and h1 in place, then o1, o1 and h1 not in place."""

SCENARIOS = [[] if name == WHOLE else [f"--{name}"] for name in SESSIONS]


def printed(document: dict[str, dict[str, dict[str, list[dict[str, str]]]]]) -> list[str]:
    """The tensors that the session prints, in order, without the names of nodes."""
    outputs = [line["output"] for part in document["parts"].values() for line in part["lines"]]
    return [re.sub("grad_fn=<.*>", "grad_fn=<...>", output) for output in outputs if output.startswith("tensor(")]


def test_all_162_numbers_read_as_in_the_article(demo: Demo) -> None:
    tensors = printed(demo("--article", "--json").document)
    assert tensors == PRINTED
    assert sum(len(re.findall(r"-?\d\.\d{4}", tensor)) for tensor in tensors) == 162


@settings(max_examples=examples(20))
@given(seed=st.integers(-(2**63), 2**64 - 1))
def test_no_seed_comes_near_to_another_fourth_decimal(seed: int) -> None:
    trace = replay(article(Replay("compare", seed, article=True)))
    wanted = torch.tensor([float(number) for number in re.findall(r"-?\d\.\d{4}", BEFORE)])
    for part in list(trace.parts.values())[1:]:
        o1 = part.moments["o1_before"].state.summary.copy.flatten()
        assert (o1 - wanted).abs().max() < 1e-5  # 5e-5 would round to another number
    assert SessionReport(trace, judge(trace)).ok


def test_the_lines_that_solve_are_shown_and_give_the_numbers_when_typed_again(demo: Demo) -> None:
    document = demo("--article", "--inplace", "--json", "--seed", "3").document
    assert document["request"]["article"] is True
    assert document["command"] == "relu-demo --inplace --seed 3 --article"
    sources = [line["source"] for line in document["parts"]["preparation"]["lines"]]
    screen = demo("--article", "--inplace", "--seed", "3").out
    for source in sources:
        assert source.startswith("import ") or f">>> {source}" in screen
    assert any("unfold(input" in source for source in sources)
    namespace: dict[str, torch.Tensor] = {}
    for source in sources:
        exec(source, namespace)
    assert "numpy" not in " ".join(sources)
    text = repr(eval("conv1(input)", namespace))
    assert re.sub("grad_fn=<.*>", "grad_fn=<...>", text) + "\n" == BEFORE


@pytest.mark.parametrize("scenario", SCENARIOS, ids=" ".join)
@pytest.mark.parametrize("view", [(), ("--json",), ("--repl",)], ids=["tables", "json", "repl"])
def test_it_goes_with_every_scenario_and_view(demo: Demo, scenario: list[str], view: tuple[str, ...]) -> None:
    result = demo("--article", *scenario, *view)
    assert (result.code, result.err) == (0, "")
    numbers = ("-0.1162", "1.1606", "0.0338")
    if "--branches" in scenario and not view:
        numbers = ("differ from correct", "*13 of 27", "*0.8362")  # its tables tell of differences
    for number in numbers:
        assert number in result.out


@pytest.mark.parametrize("columns", ["40", "80", "120"])
def test_the_solving_lines_fit_the_screen(demo: Demo, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = demo("--article", "--inplace", "--seed", "7").out.splitlines()
    assert max(map(len, lines)) <= int(columns)
    if columns != "40":  # each in one line
        first = next(number for number, line in enumerate(lines) if line.startswith(">>> torch.manual_seed"))
        last = next(number for number, line in enumerate(lines) if line.startswith(">>> conv1.weight = "))
        printed = [line for line in lines[first : last + 1] if not line.startswith(">>> ")]
        assert len(printed) == 1
        assert printed[0].startswith("<torch._C.Generator object at 0x")  # what torch.manual_seed gives


def test_on_cuda_all_of_float32_is_asked_for() -> None:
    sources = [line.source for line in article(Replay("inplace", 1, device="cuda", article=True)).parts[0].lines]
    assert 'article = torch.tensor([c0, c1, c2], device="cuda")' in sources
    assert sources[-1] == "torch.backends.cudnn.allow_tf32 = False"
