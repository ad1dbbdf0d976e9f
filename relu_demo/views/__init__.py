"""The views: one module a format, each with `show(report, out)`. They read a report and never touch torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, TextIO, cast

from relu_demo.memory import MemoryReport
from relu_demo.network.asked import Answer
from relu_demo.report import Report

AnyReport = Report | MemoryReport | Answer
"""What a view can show."""

VIEWS: Mapping[str, str] = {
    "tables": "relu_demo.views.tables",
    "json": "relu_demo.views.json",
    "step": "relu_demo.views.step",
}
"""Each view's module, by its name. Loaded when asked for: JSON does without rich."""


class View(Protocol):
    """What a view's module offers."""

    def show(self, report: AnyReport, out: TextIO) -> None:
        """Writes the report to `out`, in one piece, once all of it is made."""


def view_named(name: str) -> View:
    """The view of that name. Raises KeyError for a name that is not in VIEWS."""
    return cast(View, import_module(VIEWS[name]))
