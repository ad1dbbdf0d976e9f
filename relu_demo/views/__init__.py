"""The views: one module a format, each with `show(report, out)`. They read a report and never touch torch."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TextIO, cast

from relu_demo.request import command_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from relu_demo.claims.report import SessionReport
    from relu_demo.memory.report import MemoryReport
    from relu_demo.network.report import CheckReport

    AnyReport = SessionReport | MemoryReport | CheckReport
    """What a view can show."""

VIEWS: Mapping[str, str] = {
    "tables": "relu_demo.views.tables",
    "json": "relu_demo.views.json",
    "repl": "relu_demo.views.repl",
    "step": "relu_demo.views.step",
}
"""Each view's module, by its name. Loaded when asked for: JSON does without rich."""

SCREENS = ("tables", "repl")
"""The views that have a screen, which can be saved as a picture."""

ENDINGS = (".svg", ".html", ".txt")
"""What a file may end in that a screen is saved to. The last takes the text that a pipe would get."""


class View(Protocol):
    """What a view's module offers."""

    def show(self, report: AnyReport, out: TextIO) -> None:
        """Writes the report to `out`, in one piece, once all of it is made."""


class ScreenView(View, Protocol):
    """What the module of a view in SCREENS offers."""

    def screen(self, report: AnyReport) -> RenderableType:
        """The report as rich draws it."""


def view_named(name: str) -> View:
    """The view of that name. Raises KeyError for a name that is not in VIEWS."""
    return cast(View, import_module(VIEWS[name]))


def file_text(name: str, report: AnyReport, ending: str) -> str:
    """Return what a file of an ending in ENDINGS holds: the screen of the view of that name, one of SCREENS."""
    view = view_named(name)
    if ending == ".txt":
        text = io.StringIO()
        view.show(report, text)
        return text.getvalue()
    from relu_demo.views.screen import PICTURES

    return PICTURES[ending](cast(ScreenView, view).screen(report), command_line(report.request))
