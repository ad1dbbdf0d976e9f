"""What a step changed, in sentences, each from lines that ran."""

from __future__ import annotations

import pytest

from relu_demo.replay.replay import replay
from relu_demo.request import Replay
from relu_demo.session.lines import Line, Part, Session
from relu_demo.views.changes import changes

MADE = ("import torch", "x = torch.tensor([-1., 2., -3., 0.])")


def said(*lines: str) -> list[str]:
    """What is said of the last of these lines."""
    part = Part("lines", "Lines", tuple(Line(line, raises=True) for line in (*MADE, *lines)))
    steps = replay(Session(Replay("lines", 0), "Lines", (part,))).lines
    return list(changes(steps[-1], steps[-2].tensors))


@pytest.mark.parametrize(
    ("lines", "sentences"),
    [
        (["y = x.clone()"], ["y is a new tensor."]),
        (["y, z = x + 1, x + 2"], ["y and z are new tensors."]),
        (["w, y, z = x + 0, x + 1, x + 2"], ["w, y and z are new tensors."]),
        (["y = x"], ["y is x: one object, two names."]),
        (
            ["y = x.relu_()"],
            ["x was overwritten: 2 of 4 values became 0, version 1.", "y is x: one object, two names."],
        ),
        (["_ = x[:1].relu_()"], ["x was overwritten: 1 of 4 values became 0, version 1.", "_ is a new tensor."]),
        (["z = x.mul_(2) is x"], ["x was overwritten: it has other values, version 1."]),
        (["z = x.mul_(1) is x"], ["x was overwritten: version 1."]),
        (["z = x.requires_grad_() is x"], ["x changed."]),
        (["y = x", "x = x + 1"], ["x is a new tensor; y is still the old one."]),
        (["y = x", "z = x", "x = x + 1"], ["x is a new tensor; y and z are still the old one."]),
        (["del x"], ["x is gone."]),
        (["y = x", "del x, y"], ["x and y are gone."]),
        (["x"], ["Nothing changed."]),
        (["id(x)"], ["Nothing changed. The id below belongs to x alone."]),
        (["y = x", "id(y)"], ["Nothing changed. The id below belongs to x and y: one object."]),
        (["x @ torch.ones(7)"], ["PyTorch refused this line."]),
    ],
    ids=" ; ".join,
)
def test_a_change_is_said(lines: list[str], sentences: list[str]) -> None:
    assert said(*lines) == sentences
