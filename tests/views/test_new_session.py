"""A new session in the registry is shown by every view as it stands, with numbers that are none in it too."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
from support.commands import Demo, doctest_of, schema

from relu_demo.request import Replay
from relu_demo.session.article import preparation
from relu_demo.session.lines import ANSWER, BESIDE, DIFFERENCES, MOMENTS, Line, Moment, Part, Session
from relu_demo.session.sessions import SESSIONS

LINES = (
    Line("import torch"),
    Line("y = torch.tensor([[-1.0, 2.0], [float('nan'), -float('inf')], [float('inf'), -0.0]])", "no number at all"),
    Line("y", moment=Moment("first", "y first")),
    Line("y.relu_()", "in place"),
    Line("y", moment=Moment("then", "y then")),
    Line("y = y + 1"),
    Line("y", moment=Moment("anew", "y anew")),
    Line("z = y.sum(0)"),
    Line("z", moment=Moment("sum", "z")),
    Line("z.nope", "is no such thing", raises=True),
)
"""Two lines are alike but for the moment, and the tensors have no common shape and no grad_fn."""

LAYOUTS = [ANSWER, MOMENTS, BESIDE, DIFFERENCES]


@pytest.fixture(params=LAYOUTS)
def new(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The scenario that replays the new session."""

    def session(asked: Replay) -> Session:
        parts = (Part("one", "One way", LINES, "one"), Part("other", "The other way", LINES, "one"))
        return Session(asked, "A new session", parts, request.param)

    monkeypatch.setitem(SESSIONS, "branches", session)
    return "--branches"


@pytest.mark.versions
@pytest.mark.parametrize("columns", [40, 80, 170])
def test_as_tables(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, new: str, columns: int
) -> None:
    layout = request.node.callspec.params["new"]
    monkeypatch.setenv("COLUMNS", str(columns))
    result = demo(new, "--seed", "1")
    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= columns
    assert "…" not in result.out
    for words in ("A new session", "One way", "The other way", "y first", "y then", "z"):
        assert words in result.out
    assert layout != MOMENTS or "\nOne way\n" in result.out
    assert bool(re.search(r"\*\d{9,} changed", result.out)) is (layout == MOMENTS)  # another id
    assert "1.10" not in result.out  # of which the article alone tells


def test_as_json(demo: Demo, new: str) -> None:
    result = demo(new, "--json", "--seed", "1")
    assert (result.code, result.err) == (0, "")
    jsonschema.validate(result.document, schema(), jsonschema.Draft202012Validator)
    moments = result.document["parts"]["other"]["moments"]
    assert moments["first"]["values"] == [[-1.0, 2.0], ["nan", "-inf"], ["inf", -0.0]]
    assert moments["first"]["summary"]["min"] == "nan"
    assert moments["then"]["values"][0] == [0.0, 2.0]


def test_as_a_transcript(demo: Demo, new: str) -> None:
    out = demo(new, "--repl", "--seed", "1").out
    assert out.count(">>> ") == 2 * len(LINES)
    assert doctest_of(out) == ""


@pytest.mark.versions
@pytest.mark.parametrize("ending", ["svg", "html", "txt"])
@pytest.mark.parametrize("view", [[], ["--repl"]], ids=["tables", "repl"])
def test_saved(
    demo: Demo, tmp_path: Path, request: pytest.FixtureRequest, new: str, ending: str, view: list[str]
) -> None:
    file = tmp_path / f"new.{ending}"
    assert demo(new, *view, "--save", str(file)).code == 0
    answer = request.node.callspec.params["new"] == ANSWER and not view  # shows no lines
    assert ("overwritten" if answer else "nope") in file.read_text(encoding="utf-8")


def test_failing_claims_are_as_the_schema_says(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PyTorch whose ReLU in place were none."""
    half = Part(
        "in_place",
        "In place",
        (
            Line("o1 = conv1(input)"),
            Line("o1", moment=Moment("o1_before", "o1 before")),
            Line("h1 = rl2(o1)"),
            Line("o1", moment=Moment("o1_after", "o1 after")),
            Line("h1", moment=Moment("h1", "h1")),
        ),
        "in_place",
    )
    monkeypatch.setitem(SESSIONS, "inplace", lambda request: Session(request, "", (preparation(request), half)))
    result = demo("--inplace", "--json", "--seed", "7")
    jsonschema.validate(result.document, schema(), jsonschema.Draft202012Validator)
    assert (result.code, result.document["ok"]) == (1, False)
    assert [claim["verdict"] for claim in result.document["claims"]] == ["does not hold"] * 3
