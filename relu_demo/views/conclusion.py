"""The conclusion, last on a screen: what became of the tensor in plain words, and how many claims hold."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from relu_demo.claims.report import JudgedClaim
from relu_demo.replay.trace import TracedPart
from relu_demo.views.claims import tally


def conclusion(parts: Sequence[TracedPart], findings: Sequence[JudgedClaim]) -> Text:
    """Return a sentence for each part with two looks or more, a line each, and behind the last how many claims hold."""
    sentences = Text("\n".join(sentence(part) for part in parts if len(part.moments) > 1))
    return Text(" ").join(piece for piece in (sentences, tally(findings) if findings else Text()) if piece)


def sentence(part: TracedPart) -> str:
    """Say what became of the tensor of a part's first look, and whether its last look is at another."""
    looks = tuple(part.moments.values())
    first, second, last = looks[0].state, looks[1], looks[-1].state
    name, elements = first.name, first.summary.elements
    if second.changed:
        became = "became 0" if second.changed == second.zeroed else "changed"
        fate = f"{second.changed:,} of {name}'s {elements:,} numbers {became}"
        if elements == 1:
            fate = f"{name}'s one number {became}"
    elif second.state.version == first.version:
        fate = f"{name} is unchanged"
    else:
        fate = f"{name} was overwritten with the same numbers"
    if last.name == name:
        return f"{part.title}, {fate}."
    if last.id == second.state.id:
        return f"{part.title}, {fate}, and {last.name} is {name} itself."
    shares = last.data_ptr == second.state.data_ptr
    return f"{part.title}, {fate}, and {last.name} is a {'view of it' if shares else 'new tensor'}."
