"""The JSON document: a report, field by field, but for the exceptions below; and its schema. Imports no rich.

The schema is made of the same dataclasses and the docstrings of their fields, so that neither can drift.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
import re
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ForwardRef, Literal, TextIO, Union, get_args, get_origin

from relu_demo import __version__
from relu_demo.claims.report import SessionReport, Verdict
from relu_demo.edits.edit import Cure
from relu_demo.memory.situations import Situation
from relu_demo.network.report import Advice, Call
from relu_demo.replay.trace import Step, Summary, TensorState, Trace
from relu_demo.request import Check, Explain, Replay, command_line
from relu_demo.sanitizer.place import shown_file
from relu_demo.scenarios import KINDS, kind_answered_by
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


JSON_TYPES = {str: "string", int: "integer", bool: "boolean", type(None): "null"}

ANY_NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]}
"""JSON has no number for a NaN and an infinity."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of all documents."""
    definitions: dict[str, Any] = {}
    kinds = dict.fromkeys(KINDS.values())
    for kind in kinds:
        properties = {**described(kind.report, definitions), **described(Head, definitions)}
        properties["scenario"] = {"enum": list(kind.scenarios)}
        definitions[kind.report.__name__] = object_of(kind.report, properties)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:relu-demo:document:{Head.schema_version}",
        "title": "relu-demo --json",
        "description": "What relu-demo saw. Names of what a tensor has are PyTorch's own.",
        "oneOf": [{"$ref": f"#/$defs/{kind.report.__name__}"} for kind in kinds],
        "$defs": definitions,
    }


def object_of(kind: type, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object of these properties, and no others."""
    return {
        "type": "object",
        "description": as_one_line((kind.__doc__ or "").partition("\n\n")[0]),
        "additionalProperties": False,
        "required": [*properties],
        "properties": properties,
    }


def described(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of each property of a dataclass, with the docstring. Add to the definitions what it needs."""
    words = docstrings(kind)
    found: dict[str, Any] = {}
    for name, hint in shown_attributes(kind).items():
        if hint in INLINED:
            found |= described(hint, definitions)
        else:
            about = {"description": as_one_line(words[name])} if name in words else {}
            found[name] = {**schema_of(hint, definitions), **about}
    return found


def schema_of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a type. Raise TypeError for one that no document has."""
    origin, args = get_origin(hint), get_args(hint)
    if hint in JSON_TYPES:
        return {"type": JSON_TYPES[hint]}
    if hint is float:
        return ANY_NUMBER
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(each, definitions) for each in args]}
    if origin is tuple:
        length = {} if args[-1] is ... else {"minItems": len(args), "maxItems": len(args)}
        return {"type": "array", "items": schema_of(args[0], definitions), **length}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": schema_of(args[1], definitions)}
    if origin is Literal or hint is Verdict:
        return {"enum": list(args or Verdict)}
    if hint == ForwardRef("list[Nested]"):
        items = {"type": "array", "items": {"$ref": "#/$defs/Nested"}}
        definitions["Nested"] = {"anyOf": [ANY_NUMBER, items]}
        return items
    if not is_dataclass(hint):
        raise TypeError(f"{hint} has no JSON")
    kind: Any = hint
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # a node has nodes
        definitions[kind.__name__] = object_of(kind, described(kind, definitions))
    return {"$ref": f"#/$defs/{kind.__name__}"}


def docstrings(kind: type) -> dict[str, str]:
    """Return the docstrings of a dataclass's fields and properties."""
    (node,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(node, ast.ClassDef)
    found = {each.name: ast.get_docstring(each) or "" for each in node.body if isinstance(each, ast.FunctionDef)}
    for field, words in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(words, ast.Expr) and isinstance(words.value, ast.Constant):
            found[ast.unparse(field.target)] = str(words.value.value)
    return found


def as_one_line(words: str) -> str:
    """Return a docstring on one line, with JSON's words for Python's."""
    for python in ("None", "True", "False"):
        words = re.sub(rf"\b{python}\b", "null" if python == "None" else python.lower(), words)
    return " ".join(words.split())
