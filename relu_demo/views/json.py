"""The JSON document: a report as `views/schema.py` describes it. Imports no rich."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, TextIO

from relu_demo import __version__
from relu_demo.request import command_line
from relu_demo.sanitizer.place import shown_file
from relu_demo.scenarios import kind_answered_by
from relu_demo.views.schema import INLINED, Head, shown_attributes

if TYPE_CHECKING:
    from relu_demo.scenarios import AnyReport


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
    return {"schema_version": head.schema_version, **contents_of(head, Head), "request": body["request"], **body}


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
