"""The answer at a glance: each part of a session a column, each question a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relu_demo.replay.trace import TracedPart
from relu_demo.views.fitting import stacked
from relu_demo.views.parts import NARROW, add_row, cell, change, code, columns


def glance(parts: Sequence[TracedPart], width: int) -> Iterator[RenderableType]:
    """Yield parts that do the same in different ways: in one table, or stacked if the terminal is narrow."""
    return stacked(map(answers_table, [parts] if width >= NARROW else [[part] for part in parts]))


def answers_table(parts: Sequence[TracedPart]) -> Table:
    """Return a table with a column for each part: the answers, then the lines that ran."""
    answers = [answer(part) for part in parts]
    table = columns([part.title for part in parts], max(map(len, answers[0])) + 1)
    for question in answers[0]:
        add_row(table, question, [column[question] for column in answers])
    table.add_row()
    add_row(table, "", [cell(code(part.steps, comments=False).plain) for part in parts])
    return table


def answer(part: TracedPart) -> Mapping[str, Text]:
    """Return what became of the tensor of the part's first look, and whether the last look is at the same tensor."""
    looks = tuple(part.looks.values())
    before, after, result = looks[0].state, looks[1].state, looks[-1].state
    name = before.name
    one, shared = result.id == after.id, result.data_ptr == after.data_ptr
    changed = looks[1].changed or 0
    return {
        f"{result.name} is {name}": cell("yes, one object" if one else "no, two objects", one),
        "storage": cell("one, shared" if shared else "two", shared),
        f"{name}'s values": change(f"{changed} of {before.values.elements} changed", changed > 0),
        f"{name}'s version": then(str(before.version), str(after.version)),
        f"{name}'s grad_fn": then(before.grad_fn_name, after.grad_fn_name),
    }


def then(was: str, now: str) -> Text:
    """Return a property before and after, in two lines if it is long."""
    after = f"then {now}" if was != now else "unchanged"
    return change(f"{was},{' ' if len(was) < 10 else chr(10)}{after}", was != now)
