"""The JSON document that `relu_demo/schema.json` describes. Does without rich."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TextIO

from relu_demo import __version__
from relu_demo.claims.report import Finding, SessionReport
from relu_demo.memory.report import Measurement, MemoryReport
from relu_demo.network.report import CheckReport
from relu_demo.replay.trace import Look, Nested, Node, Step, TensorState, TracedPart
from relu_demo.request import command_line

if TYPE_CHECKING:
    from relu_demo.views import AnyReport

SCHEMA_VERSION = 1
"""Goes up by one when a reader of the document would have to change."""


def show(report: AnyReport, out: TextIO) -> None:
    """Writes the report as one strict JSON document in ASCII: a NaN or an infinity is a string."""
    out.write(json.dumps(document(report), allow_nan=False) + "\n")


def document(report: AnyReport) -> dict[str, Any]:
    """The report as plain data. Properties have PyTorch's own names."""
    if isinstance(report, CheckReport):
        body = check_document(report)
    else:
        body = memory_document(report) if isinstance(report, MemoryReport) else session_document(report)
    about = {"schema_version": SCHEMA_VERSION, "relu_demo": __version__, "torch": report.torch_version}
    return {**about, "command": command_line(report.request), **body, "ok": report.ok}


def check_document(report: CheckReport) -> dict[str, Any]:
    """What a check was asked on the command line, and what it found."""
    names = ("scenario", "target", "seed", "shapes", "dtype")
    asked = {name: getattr(report.request, name) for name in names} if report.request else {}
    return {**asked, **report.to_dict()}


def memory_document(report: MemoryReport) -> dict[str, Any]:
    """What was measured, in bytes."""
    return {
        "scenario": report.request.scenario,
        "shape": report.request.shape,
        "device": report.request.device,
        "dtype": "float32",
        "depth": report.request.depth,
        "rows": [measurement(row) for row in report.rows],
        "growth": [measurement(row) for row in report.growth],
        "claims": [claim(finding) for finding in report.findings],
    }


def measurement(row: Measurement) -> dict[str, Any]:
    """A situation with its figures in bytes."""
    situation = row.situation
    return {
        "key": situation.key,
        "title": situation.title,
        "activation": situation.activation,
        "norm": situation.norm,
        "training": situation.training,
        "depth": situation.depth,
        "unit": row.unit,
        "out_of_place": {"live": row.out_of_place.live, "peak": row.out_of_place.peak},
        "in_place": {"live": row.in_place.live, "peak": row.in_place.peak},
        "why": row.why,
    }


def session_document(report: SessionReport) -> dict[str, Any]:
    """What a session's replay saw."""
    request = report.request
    return {
        "scenario": request.scenario,
        "seed": request.seed,
        "shape": request.shape,
        "device": request.device,
        "dtype": request.dtype,
        "article": request.article,
        "parts": {part.key: part_document(part) for part in report.trace.parts},
        "claims": [claim(finding) for finding in report.findings],
    }


def part_document(part: TracedPart) -> dict[str, Any]:
    """A part's lines and moments."""
    return {
        "title": part.title,
        "reference": part.reference or None,
        "lines": [line(step) for step in part.steps],
        "moments": {key: moment(look) for key, look in part.looks.items()},
    }


def line(step: Step) -> dict[str, Any]:
    """A line with its output, and the tensors that it changed."""
    return {
        "source": step.line.source,
        "comment": step.line.comment or None,
        "output": step.output,
        "error": step.error,
        "warnings": step.warnings,
        "changed": {name: tensor(step.tensors[name]) for name in step.changed},
    }


def moment(look: Look) -> dict[str, Any]:
    """A tensor at one moment, and how far it is from what it is held against."""
    return {
        **tensor(look.state),
        "title": look.moment.title,
        "grad_fn_1_10": look.moment.grad_fn_1_10 or None,
        "changed": look.changed,
        "zeroed": look.zeroed,
        "largest": strict(look.largest),
    }


def tensor(state: TensorState) -> dict[str, Any]:
    """A tensor as it was after a line."""
    values = state.values
    return {
        "name": state.name,
        "id": state.id,
        "data_ptr": state.data_ptr,
        "version": state.version,
        "grad_fn": state.grad_fn.name if state.grad_fn else None,
        "graph": graph(state.grad_fn) if state.grad_fn else None,
        "requires_grad": state.requires_grad,
        "shape": state.shape,
        "dtype": state.dtype,
        "device": state.device,
        "summary": {
            "elements": values.elements,
            "negatives": values.negatives,
            "zeros": values.zeros,
            "min": strict(values.minimum),
            "max": strict(values.maximum),
        },
        "values": strict(values.nested),
    }


def graph(node: Node) -> dict[str, Any]:
    """A node and all behind it."""
    return {
        "name": node.name,
        "id": node.id,
        "variable": node.variable or None,
        "saved": [{"name": name, "version": version} for name, version in node.saved],
        "next_functions": [graph(behind) for behind in node.next_functions],
    }


def claim(finding: Finding) -> dict[str, Any]:
    """A claim with its verdict."""
    return {
        "number": finding.number,
        "says": finding.says,
        "verdict": finding.verdict.value,
        "evidence": finding.evidence,
        "advice": finding.advice or None,
    }


def strict(value: Nested | None) -> Any:
    """The value with each NaN and infinity as a string, since JSON has no number for them."""
    if isinstance(value, list):
        return [strict(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
