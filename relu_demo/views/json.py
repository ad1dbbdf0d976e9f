"""The JSON document that `relu_demo/schema.json` describes. Imports no rich."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TextIO

from relu_demo import __version__
from relu_demo.claims.report import Finding, SessionReport
from relu_demo.memory.report import Measurement, MemoryReport
from relu_demo.network.report import CheckReport
from relu_demo.replay.trace import Look, Nested, Node, Step, TensorState, TracedPart
from relu_demo.request import Check, Input, Watch, command_line
from relu_demo.watching.report import Finding as Found
from relu_demo.watching.report import Site, WatchReport

if TYPE_CHECKING:
    from relu_demo.views.reports import AnyReport

SCHEMA_VERSION = 1
"""Goes up by one when a reader of the document has to change."""


def write_document(report: AnyReport, out: TextIO) -> None:
    """Write the report as one strict JSON document in ASCII: a NaN or an infinity is a string."""
    out.write(text(report) + "\n")


def text(report: AnyReport) -> str:
    """Return the document as strict JSON in ASCII."""
    return json.dumps(document(report), allow_nan=False)


def plain(report: AnyReport) -> dict[str, Any]:
    """Return the document as a reader of the JSON has it: lists for tuples."""
    data: dict[str, Any] = json.loads(text(report))
    return data


def schema() -> str:
    """Return the JSON Schema of the document, as text."""
    from importlib.resources import files

    return files("relu_demo").joinpath("schema.json").read_text(encoding="utf-8")


def document(report: AnyReport) -> dict[str, Any]:
    """Return the report as plain data. Properties have PyTorch's own names."""
    if isinstance(report, CheckReport):
        body = check_document(report)
    elif isinstance(report, WatchReport):
        body = watch_document(report)
    else:
        body = memory_document(report) if isinstance(report, MemoryReport) else session_document(report)
    about = {"schema_version": SCHEMA_VERSION, "relu_demo": __version__, "torch": report.torch_version}
    return {**about, "command": command_line(report.request), **body, "ok": report.ok}


def properties(of: object, *names: str) -> dict[str, Any]:
    """Return the attributes of those names."""
    return {name: getattr(of, name) for name in names}


def check_document(report: CheckReport) -> dict[str, Any]:
    """Return what a check was asked on the command line, null for one asked in Python, and what it found."""
    asked = {name: getattr(report.request, name, None) for name in ("target", "seed", "dtype")}
    inputs = None if report.request is None else report.request.inputs
    shapes = None if inputs is None else [each.sizes for each in inputs]
    given = None if inputs is None else [given_input(each) for each in inputs]
    return {"scenario": Check.scenario, **asked, "shapes": shapes, "inputs": given, **CheckReport.to_dict(report)}


def given_input(each: Input) -> dict[str, Any]:
    """Return how a random input of a check was asked for."""
    return {"name": each.name or None, "shape": each.sizes, "dtype": each.dtype or None, "range": each.bounds}


def watch_document(report: WatchReport) -> dict[str, Any]:
    """Return what a watch was asked, what it found, and how much it looked at."""
    return {
        "scenario": Watch.scenario,
        "program": None if report.request is None else report.request.program,
        **properties(report, "backwards", "saved", "writes", "processes", "exit_code"),
        "findings": list(map(finding, report.findings)),
        "worth_a_look": [
            {"written": site(each.written), "read": site(each.read), "name": each.name, "settle": each.settle or None}
            for each in report.worth_a_look
        ],
        "unwatched": [properties(each, "what", "why") for each in report.unwatched],
        "missing": [properties(each, "name", "python") for each in report.missing],
    }


def finding(found: Found) -> dict[str, Any]:
    """Return a fault with its places, its tensor and its cure."""
    return {
        "kind": found.kind,
        "raised_at": site(found.raised_at),
        "saved_by": site(found.saved_by),
        "overwritten_by": [
            {**(site(write.site) or {}), **properties(write, "version", "elsewhere")} for write in found.overwritten_by
        ],
        "tensor": properties(found.tensor, "name", "shape", "dtype", "version"),
        "cure": properties(found.cure, "says", "tried", "works"),
        "words": found.words or None,
        "why": found.why or None,
        "processes": found.processes,
    }


def site(place: Site | None) -> dict[str, Any] | None:
    """Return a line of the user's code with the operation that ran there."""
    if place is None:
        return None
    called = [properties(each, "file", "line", "source") for each in place.called_from]
    return {**properties(place, "file", "line", "source", "operation", "module"), "called_from": called}


def memory_document(report: MemoryReport) -> dict[str, Any]:
    """Return what was measured, in bytes."""
    return {
        **properties(report.request, "scenario", "shape", "device"),
        "dtype": "float32",
        "depth": report.request.depth,
        "rows": list(map(measurement, report.rows)),
        "growth": list(map(measurement, report.growth)),
        "claims": list(map(claim, report.findings)),
    }


def measurement(row: Measurement) -> dict[str, Any]:
    """Return a situation with its figures in bytes."""
    return {
        **properties(row.situation, "key", "title", "activation", "norm", "training", "depth"),
        "unit": row.unit,
        "out_of_place": properties(row.out_of_place, "live", "peak"),
        "in_place": properties(row.in_place, "live", "peak"),
        "why": row.why,
    }


def session_document(report: SessionReport) -> dict[str, Any]:
    """Return what a session's replay recorded."""
    return {
        **properties(report.request, "scenario", "seed", "shape", "device", "dtype", "article"),
        "parts": {part.key: part_document(part) for part in report.trace.parts},
        "claims": list(map(claim, report.findings)),
    }


def part_document(part: TracedPart) -> dict[str, Any]:
    """Return a part's lines and looks."""
    return {
        "title": part.title,
        "reference": part.reference or None,
        "lines": list(map(line, part.steps)),
        "moments": {key: moment(look) for key, look in part.looks.items()},
    }


def line(step: Step) -> dict[str, Any]:
    """Return a line with its output, and the tensors that it changed."""
    return {
        "source": step.line.source,
        "comment": step.line.comment or None,
        **properties(step, "output", "error", "warnings"),
        "changed": {name: tensor(step.tensors[name]) for name in step.changed},
    }


def moment(look: Look) -> dict[str, Any]:
    """Return a tensor at one moment, and how far it is from its reference."""
    return {
        **tensor(look.state),
        "title": look.moment.title,
        "grad_fn_1_10": look.moment.grad_fn_1_10 or None,
        **properties(look, "changed", "zeroed"),
        "largest": strict(look.largest),
    }


def tensor(state: TensorState) -> dict[str, Any]:
    """Return a tensor as it was after a line."""
    values = state.values
    return {
        **properties(state, "name", "id", "data_ptr", "version"),
        "grad_fn": state.grad_fn.name if state.grad_fn else None,
        "graph": graph(state.grad_fn) if state.grad_fn else None,
        **properties(state, "requires_grad", "shape", "dtype", "device"),
        "summary": {
            **properties(values, "elements", "negatives", "zeros"),
            "min": strict(values.minimum),
            "max": strict(values.maximum),
        },
        "values": strict(values.nested),
    }


def graph(node: Node) -> dict[str, Any]:
    """Return a node and all behind it."""
    return {
        **properties(node, "name", "id"),
        "variable": node.variable or None,
        "saved": [{"name": name, "version": version} for name, version in node.saved],
        "next_functions": list(map(graph, node.next_functions)),
    }


def claim(finding: Finding) -> dict[str, Any]:
    """Return a claim with its verdict."""
    return {
        **properties(finding, "number", "says"),
        "verdict": finding.verdict.value,
        "evidence": finding.evidence,
        "advice": finding.advice or None,
    }


def strict(value: Nested | None) -> Any:
    """Return the value with each NaN and infinity as a string, since JSON has no number for them."""
    if isinstance(value, list):
        return list(map(strict, value))
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
