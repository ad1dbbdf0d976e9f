"""The session, replayed: what runs, what is seen of it, and what the article's claims come to."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from conftest import Demo
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_demo.claims.judge import judge
from relu_demo.claims.report import Report, Verdict
from relu_demo.errors import LineError
from relu_demo.replay.recorder import Recorder
from relu_demo.replay.replay import replay
from relu_demo.session.article import ARTICLE, article
from relu_demo.session.lines import Line, Part, Session, Setup

ARTICLE_LINES = [
    "o1 = conv1(input)",
    "id(o1)",
    "o1",
    "h1 = rl{}(o1)",
    "id(h1)",
    "o1",
    "h1",
]


def sources(document: Any, part: str) -> list[str]:
    return [line["source"] for line in document["parts"][part]["lines"]]


def test_the_whole_session_runs_the_articles_lines_in_the_articles_order(demo: Demo) -> None:
    document = demo("--json", "--seed", "7").document
    assert list(document["parts"]) == ["preparation", "in_place", "out_of_place"]
    assert sources(document, "preparation") == [
        "import torch",
        "import torch.nn as nn",
        "torch.manual_seed(7)",
        "conv1 = nn.Conv2d(3, 3, kernel_size=3)",
        "rl1 = nn.ReLU(inplace=True)",
        "rl2 = nn.ReLU()",
        "input = torch.randn(1, 3, 5, 5)",
    ]
    assert sources(document, "in_place") == [line.format(1) for line in ARTICLE_LINES]
    assert sources(document, "out_of_place") == [line.format(2) for line in ARTICLE_LINES]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ((), ["preparation", "in_place", "out_of_place"]),
        (("--inplace",), ["preparation", "in_place"]),
        (("--no-inplace",), ["preparation", "out_of_place"]),
        (("--compare",), ["preparation", "in_place", "out_of_place"]),
    ],
)
def test_each_scenario_runs_its_parts(demo: Demo, options: tuple[str, ...], parts: list[str]) -> None:
    result = demo(*options, "--json")
    assert result.code == 0
    assert list(result.document["parts"]) == parts


def test_the_lines_on_the_screen_give_the_values_on_the_screen_when_typed_again(demo: Demo) -> None:
    document = demo("--json", "--seed", "11").document
    namespace: dict[str, Any] = {}
    for part in document["parts"].values():
        for line in part["lines"]:
            exec(line["source"], namespace)
            for name, state in line["changed"].items():
                tensor = eval(name, namespace)
                assert state["values"] == tensor.tolist()
                assert state["shape"] == list(tensor.shape)
                assert state["version"] == tensor._version
                assert state["requires_grad"] == tensor.requires_grad
                assert state["grad_fn"] == (type(tensor.grad_fn).__name__ if tensor.grad_fn else None)


def test_a_line_records_what_the_interpreter_prints(demo: Demo) -> None:
    part = demo("--inplace", "--json", "--seed", "7").document["parts"]["in_place"]
    printed = {line["source"]: line["output"] for line in part["lines"]}
    assert printed["o1 = conv1(input)"] == ""
    assert printed["id(h1)"] == f"{part['moments']['h1']['id']}\n"
    assert printed["h1"].startswith("tensor([[[[")
    assert printed["h1"].endswith("grad_fn=<ReluBackward0>)\n")


def test_in_place_h1_is_o1_and_o1_is_overwritten(demo: Demo) -> None:
    looks = demo("--inplace", "--json", "--seed", "7").document["parts"]["in_place"]["moments"]
    before, after, h1 = looks["o1_before"], looks["o1_after"], looks["h1"]
    assert before["id"] == after["id"] == h1["id"]
    assert before["data_ptr"] == after["data_ptr"] == h1["data_ptr"]
    assert (before["version"], after["version"]) == (0, 1)
    assert (before["grad_fn"], after["grad_fn"]) == ("ConvolutionBackward0", "ReluBackward0")
    assert after["zeroed"] == after["changed"] == before["summary"]["negatives"] > 0
    assert min(torch.tensor(before["values"]).flatten()) < 0 == after["summary"]["min"]
    assert after["values"] == h1["values"]


def test_not_in_place_h1_is_another_object_and_o1_stays(demo: Demo) -> None:
    looks = demo("--no-inplace", "--json", "--seed", "7").document["parts"]["out_of_place"]["moments"]
    before, after, h1 = looks["o1_before"], looks["o1_after"], looks["h1"]
    assert before["id"] == after["id"] != h1["id"]
    assert before["data_ptr"] == after["data_ptr"] != h1["data_ptr"]
    assert (before["version"], after["version"]) == (0, 0)
    assert after["grad_fn"] == "ConvolutionBackward0"
    assert after["values"] == before["values"]
    assert torch.equal(torch.tensor(h1["values"]), torch.tensor(before["values"]).relu())


def test_both_halves_begin_with_the_same_numbers(demo: Demo) -> None:
    parts = demo("--compare", "--json").document["parts"]
    first, second = (parts[half]["moments"]["o1_before"] for half in ("in_place", "out_of_place"))
    assert first["values"] == second["values"]
    assert first["data_ptr"] != second["data_ptr"]  # both are alive, so that an address says something


def test_the_names_that_pytorch_1_10_gave_are_told_beside_todays(demo: Demo) -> None:
    result = demo("--compare", "--seed", "7")
    for name in ("ThnnConv2DBackward", "ReluBackward1", "ConvolutionBackward0", "ReluBackward0"):
        assert name in result.out
    looks = demo("--compare", "--json").document["parts"]["in_place"]["moments"]
    assert [look["grad_fn_1_10"] for look in looks.values()] == ["ThnnConv2DBackward", "ReluBackward1", "ReluBackward1"]


def test_the_autograd_graph_is_read_from_next_functions(demo: Demo) -> None:
    looks = demo("--inplace", "--json").document["parts"]["in_place"]["moments"]
    before, after = looks["o1_before"]["graph"], looks["o1_after"]["graph"]
    assert [leaf["variable"] for leaf in before["next_functions"]] == ["conv1.weight", "conv1.bias"]
    assert after["name"] == "ReluBackward0"
    assert [node["id"] for node in after["next_functions"]] == [before["id"]]


def test_compare_judges_claims_1_to_7(demo: Demo) -> None:
    result = demo("--compare", "--json", "--seed", "7")
    assert [claim["number"] for claim in result.document["claims"]] == [1, 2, 3, 4, 5, 6, 7]
    assert {claim["verdict"] for claim in result.document["claims"]} == {"holds"}
    assert all(claim["evidence"] for claim in result.document["claims"])
    assert (result.code, result.document["ok"]) == (0, True)


def test_an_input_without_negatives_cannot_show_what_is_zeroed(demo: Demo) -> None:
    seed = next(
        str(seed)
        for seed in range(100)
        if demo("--json", "--shape", "1,1,3,3", "--seed", str(seed)).document["parts"]["in_place"]["moments"][
            "o1_before"
        ]["summary"]["negatives"]
        == 0
    )
    result = demo("--compare", "--shape", "1,1,3,3", "--seed", seed, "--json")
    verdicts = {claim["number"]: claim for claim in result.document["claims"]}
    assert verdicts[2]["verdict"] == verdicts[6]["verdict"] == "this input cannot show it"
    assert verdicts[2]["advice"] == f"try another seed, say --seed {int(seed) + 1}"
    assert verdicts[1]["verdict"] == "holds"
    assert result.code == 0
    assert "this input cannot show it" in demo("--compare", "--shape", "1,1,3,3", "--seed", seed).out


def altered(part: Part, old: str, new: str) -> Session:
    """The article's comparison with one line of one half replaced: a PyTorch that behaves otherwise."""
    lines = tuple(dataclasses.replace(line, source=new) if line.source == old else line for line in part.lines)
    session = article("compare", Setup(seed=7))
    changed = dataclasses.replace(part, lines=lines)
    return dataclasses.replace(session, parts=tuple(changed if p.key == part.key else p for p in session.parts))


@pytest.mark.parametrize(
    ("part", "old", "new", "failing"),
    [
        ("in_place", "h1 = rl1(o1)", "h1 = rl2(o1)", {1, 2, 3}),
        ("in_place", "h1 = rl1(o1)", "h1 = o1.mul_(0)", {2, 3, 7}),
        ("in_place", "h1 = rl1(o1)", "h1 = rl1(o1)[:]", {1}),
        ("in_place", "h1 = rl1(o1)", "h1 = rl1(rl1(o1))", {2, 3}),
        ("out_of_place", "h1 = rl2(o1)", "h1 = rl1(o1)", {4, 5}),
        ("out_of_place", "h1 = rl2(o1)", "h1 = o1.view_as(o1)", {4, 6, 7}),
        ("out_of_place", "h1 = rl2(o1)", "h1 = rl2(o1); o1.add_(0)", {5}),
        ("out_of_place", "h1 = rl2(o1)", "h1 = o1.abs()", {6, 7}),
    ],
)
def test_a_pytorch_that_behaves_otherwise_is_found_out(part: str, old: str, new: str, failing: set[int]) -> None:
    halves = {"in_place": ARTICLE["compare"][1][0], "out_of_place": ARTICLE["compare"][1][1]}
    trace = replay(altered(halves[part], old, new))
    findings = judge(trace)
    assert {finding.number for finding in findings if finding.verdict is Verdict.FAILS} == failing
    assert not Report(trace, findings).ok


def test_the_address_is_that_of_the_storage_whatever_part_of_it_a_tensor_views() -> None:
    lines = tuple(map(Line, ("import torch", "x = torch.zeros(4)", "y = x[1:]", "z = y.clone()")))
    trace = replay(Session("views", "", Setup(0), (Part("views", "Views", lines),)))
    tensors = trace.parts[0].steps[-1].tensors
    alive = [tensor for tensor in trace.alive if isinstance(tensor, torch.Tensor) and id(tensor) == tensors["x"].id]
    assert tensors["x"].data_ptr == tensors["y"].data_ptr == alive[0].data_ptr()
    assert tensors["z"].data_ptr != tensors["x"].data_ptr


def test_the_device_is_the_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "values", lambda recorder, tensor: None)  # meta has none
    for device in ("cpu", "meta"):
        assert Recorder(0).look({"x": torch.zeros(2, device=device)})["x"].device == device


def test_an_id_is_not_fooled_by_a_freed_object() -> None:
    lines = tuple(Line(f"x = torch.zeros({size})") for size in range(3, 30))
    part = Part("many", "Many", (Line("import torch"), *lines))
    trace = replay(Session("many", "Many", Setup(0), (part,)))
    ids = [step.tensors["x"].id for step in trace.parts[0].steps[1:]]
    assert len(set(ids)) == len(ids)


def test_a_line_that_pytorch_cannot_run_is_named() -> None:
    part = Part("wrong", "Wrong", (Line("import torch"), Line("torch.ones(2) @ torch.ones(3)")))
    with pytest.raises(LineError, match=r"cannot run 'torch.ones\(2\) @ torch.ones\(3\)'"):
        replay(Session("wrong", "Wrong", Setup(0), (part,)))


def test_values_are_those_of_the_moment_and_not_of_the_end() -> None:
    trace = replay(Session("inplace", "", Setup(7), article("inplace", Setup(7)).parts))
    step = {step.line.moment.key: step for step in trace.parts[1].steps if step.line.moment}
    before, after = (step[key].tensors["o1"].values.minimum for key in ("o1_before", "o1_after"))
    assert before < 0 == after


shapes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(3, 9), st.integers(3, 9))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(-(2**63), 2**64 - 1), shape=shapes, dtype=st.sampled_from(["float32", "float64", "bfloat16"]))
def test_no_claim_fails_for_any_seed_shape_or_dtype(seed: int, shape: tuple[int, int, int, int], dtype: str) -> None:
    trace = replay(article("compare", Setup(seed, shape, dtype=dtype)))
    findings = judge(trace)
    assert Report(trace, findings).ok, findings
    negatives = trace.parts[1].looks["o1_before"].state.values.negatives
    unshown = {finding.number for finding in findings if finding.verdict is Verdict.UNSHOWN}
    assert unshown == (set() if negatives else {2, 6})


def test_the_shape_device_and_dtype_are_in_the_lines(demo: Demo) -> None:
    document = demo("--json", "--shape", "2,4,6,7", "--dtype", "float64", "--seed", "1").document
    assert sources(document, "preparation")[3] == "conv1 = nn.Conv2d(4, 4, kernel_size=3, dtype=torch.float64)"
    assert sources(document, "preparation")[-1] == "input = torch.randn(2, 4, 6, 7, dtype=torch.float64)"
    look = document["parts"]["in_place"]["moments"]["o1_before"]
    assert (look["shape"], look["dtype"], look["device"]) == ([2, 4, 4, 5], "float64", "cpu")
