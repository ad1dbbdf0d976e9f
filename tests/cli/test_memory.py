"""`--memory` as a user meets it: the screen, the JSON, what it costs to ask for too much."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import jsonschema
import pytest
import torch
from support.commands import Demo, schema
from support.ptys import on_a_terminal, posix
from support.tiers import slow_but

import relu_demo.machine.devices
import relu_demo.machine.free_memory
import relu_demo.memory.measure
from relu_demo.claims.report import Verdict
from relu_demo.memory.measure import measure
from relu_demo.memory.report import Measurement, judge_rows
from relu_demo.request import Measure

measured = cache(measure)


@pytest.fixture
def measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures each request once, for the tests that look at how it is shown."""
    monkeypatch.setattr(relu_demo.memory.measure, "measure", lambda request, _: measured(request))


shown = pytest.mark.usefixtures("measured_once")


@shown
@pytest.mark.parametrize("options", [(), pytest.param(("--depth", "16"), marks=pytest.mark.slow)], ids=" ".join)
def test_the_document_is_as_the_schema_says(demo: Demo, options: tuple[str, ...]) -> None:
    result = demo("--memory", "--json", *options)
    jsonschema.validate(result.document, schema(), jsonschema.Draft202012Validator)
    assert f"with --memory {','.join(map(str, result.document['request']['shape']))}]" in demo("--help").out
    depth = int(options[1]) if options else 8
    assert {row["depth"] for row in result.document["rows"]} == {1, depth}
    assert [claim["number"] for claim in result.document["claims"]] == [8]


def test_depth_and_shape_change_what_is_measured_and_are_in_the_command(demo: Demo) -> None:
    document = demo("--memory", "--json", "--depth", "3", "--shape", "2,8,10,12").document
    assert document["command"] == "relu-demo --memory --shape 2,8,10,12 --depth 3"
    assert all(row["unit"] == 2 * 8 * 10 * 12 * 4 for row in document["rows"])
    training = next(row for row in document["rows"] if row["activation"] == "ELU")
    assert training["out_of_place"]["live"] == 6 * training["unit"]


def test_a_pytorch_whose_in_place_saves_nothing_is_found_out(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relu_demo.memory.measure, "_activation", lambda name, inplace: getattr(torch.nn, name)())
    result = demo("--memory", "--json", "--depth", "1")
    assert result.code == 1
    assert result.document["ok"] is False
    (claim,) = result.document["claims"]
    assert claim["verdict"] == "does not hold"
    repl = next(row for row in result.document["rows"] if row["key"] == "repl")
    assert repl["in_place"]["live"] == repl["out_of_place"]["live"] == 2 * repl["unit"]
    assert f"{2 * repl['unit']:,} bytes live in place and {2 * repl['unit']:,} not" in claim["evidence"]
    screen = demo("--memory", "--depth", "1")
    assert screen.code == 1
    assert "does not hold" in screen.out


def test_in_place_that_takes_more_does_not_hold_either() -> None:
    found = measure(Measure((1, 2, 4, 4), depth=1))
    (holds,) = judge_rows(found)
    assert holds.verdict is Verdict.HOLDS
    (worse,) = judge_rows([replace(row, in_place=row.out_of_place, out_of_place=row.in_place) for row in found])
    assert worse.verdict is Verdict.FAILS
    assert not worse.ok


def test_the_device_asked_for_is_the_one_that_is_measured(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def spy(request: Measure, progress: Any) -> tuple[Measurement, ...]:
        asked.append(request.device)
        return measure(replace(request, device="cpu"), progress)

    monkeypatch.setattr(relu_demo.machine.devices, "usable_device", torch.device)
    monkeypatch.setattr(relu_demo.machine.free_memory, "free_bytes", lambda device: None)
    monkeypatch.setattr(relu_demo.memory.measure, "measure", spy)
    document = demo("--memory", "--json", "--depth", "1", "--device", "cuda").document
    assert asked == [document["request"]["device"]] == ["cuda"]
    assert document["command"] == "relu-demo --memory --depth 1 --device cuda"


@posix
@pytest.mark.slow
def test_a_progress_bar_on_stderr_where_that_is_a_terminal() -> None:
    code, shown, piped = on_a_terminal("--memory", "--json", stdout=False)
    assert code == 0
    assert "Measuring [" in shown
    assert "USDT" not in shown
    assert piped.startswith("{")
    assert shown.endswith(" \r")


@posix
def test_ctrl_c_takes_the_bar_away() -> None:
    code, shown, piped = on_a_terminal("--memory", "--depth", "16", stdout=False, interrupt_at="Measuring [##")
    assert (code, piped) == (130, "")
    assert shown.endswith("  \r\r\n")


@shown
@pytest.mark.parametrize("columns", slow_but(0, [40, 60, 80, 140]))
def test_the_screen_fits(demo: Demo, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for options in ((), ("--depth", "3"), ("--depth", "16", "--shape", "4,32,32,32")):
        assert max(map(len, demo("--memory", *options).out.splitlines())) <= columns
