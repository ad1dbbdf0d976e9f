"""The JSON document: a report, field by field, but for the exceptions below. Imports no rich."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TextIO

from relu_demo import __version__
from relu_demo.claims.report import SessionReport
from relu_demo.edits.edit import Cure
from relu_demo.memory.situations import Situation
from relu_demo.network.report import Advice, Call
from relu_demo.replay.trace import Step, Summary, TensorState, Trace
from relu_demo.request import Check, Explain, Replay, command_line
from relu_demo.sanitizer.place import shown_file
from relu_demo.scenarios import kind_answered_by
from relu_demo.session.faults import FaultPage
from relu_demo.session.lines import Line, Moment
from relu_demo.watching.report import WatchReport

if TYPE_CHECKING:
    from relu_demo.scenarios import AnyReport

INLINED = (Trace, Situation, Line, Moment, TensorState)
"""What stands in the object that holds it, and is no object of its own."""

LEFT_OUT: Mapping[type, tuple[str, ...]] = {
    Trace: ("session",),
    Step: ("tensors",),
    Line: ("moment", "raises", "step", "prepares"),
    Summary: ("values", "corner"),
    FaultPage: ("prepared", "fault", "cure", "written", "numbers", "raises"),
    Cure: ("edits",),
    WatchReport: ("patch",),
    # How the screen shows it is not what was asked.
    Replay: ("evidence",),
    Explain: ("evidence",),
    Check: ("every_call",),
}
"""Fields that are not in the document; nor are those that two equal reports need not share (`compare=False`)."""

ADDED: Mapping[type, tuple[str, ...]] = {
    SessionReport: ("request", "documentation"),
    TensorState: ("values",),
    Cure: ("diff", "tried"),
    Call: ("safe",),
    Advice: ("saves_live", "saves_peak"),
}
"""Properties that are in the document beside the fields."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """What every document begins with."""

    schema_version: Literal[2] = 2
    """Goes up by one when a reader of the document has to change."""
    relu_demo_version: str
    torch_version: str
    """`torch.__version__`; empty where nothing has imported torch."""
    scenario: str
    command: str
    """The command line that gives this document again, but for ids and addresses; empty where Python asked."""
    ok: bool
    """Whether no claim fails; of a check, whether all is safe; of a watch, whether nothing was found."""


def write_document(report: AnyReport, out: TextIO) -> None:
    """Write the report as one strict JSON document in ASCII: on one line, or indented on a terminal."""
    indent = 2 if out.isatty() else None
    out.write(json.dumps(document(report), allow_nan=False, indent=indent) + "\n")


def as_read(report: AnyReport) -> dict[str, Any]:
    """Return the document as a reader of the JSON has it: lists for tuples."""
    data: dict[str, Any] = json.loads(json.dumps(document(report), allow_nan=False))
    return data


def document(report: AnyReport) -> dict[str, Any]:
    """Return the report as plain data: the head, what was asked, and what its dataclasses hold."""
    kind = kind_answered_by(report)
    head = Head(
        relu_demo_version=__version__,
        torch_version=report.torch_version,
        scenario=kind.scenarios[0] if report.request is None else report.request.scenario,
        command=command_line(report.request),
        ok=report.ok,
    )
    body = contents_of(report, kind.report)
    return {**contents_of(head, Head), "request": body["request"], **body}


def contents_of(value: object, kind: type) -> dict[str, Any]:
    """Return the attributes of a dataclass that are in the document, by their names."""
    data: dict[str, Any] = {}
    for name, hint in shown_attributes(kind).items():
        held = getattr(value, name)
        if hint in INLINED:
            data |= contents_of(held, hint)
        else:
            data[name] = shown_file(held) if name == "file" and held else strict(held)
    return data


def strict(value: Any) -> Any:
    """Return the value as strict JSON has it: a NaN or an infinity is a string."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)):
        return [strict(each) for each in value]
    if isinstance(value, Mapping):
        return {key: strict(each) for key, each in value.items()}
    return contents_of(value, type(value)) if is_dataclass(value) else value


@cache
def shown_attributes(kind: type) -> Mapping[str, Any]:
    """Return the type of each attribute of a dataclass that is in the document, by its name."""
    own = [field.name for field in fields(kind) if field.compare and field.name not in LEFT_OUT.get(kind, ())]
    module = vars(sys.modules[kind.__module__])
    found = {}
    for name in (*own, *ADDED.get(kind, ())):
        made = vars(kind).get(name)
        hint = made.fget.__annotations__["return"] if isinstance(made, property) else kind.__annotations__[name]
        found[name] = eval(hint, module)
    return found
