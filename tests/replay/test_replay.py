"""The replay of a session: what is recorded after each line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from relu_demo.errors import LineError
from relu_demo.replay.recorder import Recorder
from relu_demo.replay.replay import replay, traces
from relu_demo.replay.trace import Trace
from relu_demo.replay.values import copy_values
from relu_demo.request import Replay
from relu_demo.session.article import article
from relu_demo.session.lines import Line, Part, Session


def test_the_address_is_that_of_the_storage_whatever_part_of_it_a_tensor_views() -> None:
    lines = tuple(map(Line, ("import torch", "x = torch.zeros(4)", "y = x[1:]", "z = y.clone()")))
    trace = replay(Session(Replay("views", 0), "", (Part("views", "Views", lines),)))
    tensors = trace.parts["views"].lines[-1].tensors
    alive = [tensor for tensor in trace.alive if isinstance(tensor, torch.Tensor) and id(tensor) == tensors["x"].id]
    assert tensors["x"].data_ptr == tensors["y"].data_ptr == alive[0].data_ptr()
    assert tensors["z"].data_ptr != tensors["x"].data_ptr


def test_the_device_is_the_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "summary", lambda recorder, tensor: None)  # meta has none
    for device in ("cpu", "meta"):
        assert Recorder(0).look({"x": torch.zeros(2, device=device)})["x"].device == device


def test_an_id_is_not_fooled_by_a_freed_object() -> None:
    lines = tuple(Line(f"x = torch.zeros({size})") for size in range(3, 30))
    part = Part("many", "Many", (Line("import torch"), *lines))
    trace = replay(Session(Replay("many", 0), "Many", (part,)))
    ids = [step.tensors["x"].id for step in trace.parts["many"].lines[1:]]
    assert len(set(ids)) == len(ids)


def test_a_line_that_pytorch_cannot_run_is_named() -> None:
    part = Part("wrong", "Wrong", (Line("import torch"), Line("torch.ones(2) @ torch.ones(3)")))
    with pytest.raises(LineError, match=r"cannot run 'torch.ones\(2\) @ torch.ones\(3\)'"):
        replay(Session(Replay("wrong", 0), "Wrong", (part,)))


def test_values_are_those_of_the_moment_and_not_of_the_end() -> None:
    trace = replay(Session(Replay("inplace", 7), "", article(Replay("inplace", 7)).parts))
    step = {step.line.moment.key: step for step in trace.parts["in_place"].lines if step.line.moment}
    before, after = (step[key].tensors["o1"].summary.min for key in ("o1_before", "o1_after"))
    assert before < 0 == after


@pytest.mark.parametrize(
    ("shape", "corner"), [((2, 3, 1, 4), [[0, 1, 2, 3]]), ((2, 1), [[0], [1]]), ((3,), [[0, 1, 2]]), ((), [[0]])]
)
def test_the_corner_is_one_of_the_first_matrix(shape: tuple[int, ...], corner: list[list[float]]) -> None:
    assert copy_values(torch.arange(float(math.prod(shape))).view(shape), 0).corner == corner


def test_a_replay_gives_a_trace_after_each_line_and_runs_a_line_when_asked(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    lines = (Line("import torch"), Line("x = torch.zeros(2)"), Line(f"open({str(mark)!r}, 'w').close()"), Line("x"))
    session = Session(Replay("own", 0), "Own", (Part("a", "A", lines[:1]), Part("b", "B", lines[1:])))

    def ran(trace: Trace) -> list[Line]:
        return [step.line for part in trace.parts.values() for step in part.lines]

    coming = traces(session)
    assert ran(next(coming)) == []
    assert ran(next(coming)) == list(lines[:1])
    second = next(coming)
    assert ran(second) == list(lines[:2])
    assert not mark.exists()
    next(coming)
    assert mark.exists()
    assert ran(second) == list(lines[:2])
    *_, last = coming
    assert ran(last) == ran(replay(session)) == list(lines)
