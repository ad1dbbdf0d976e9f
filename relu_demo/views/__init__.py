"""The views: one module a format, each with `show(report, out)`. A view reads a report and never touches torch."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TextIO, cast

from relu_demo.request import command_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from relu_demo.views.reports import AnyReport


@dataclass(frozen=True)
class Format:
    """A view as the command line offers it: its help, its short options, and whether it shows sessions or cures only.

    A view that has a screen can be saved as a picture: its module has `screen(report)` as well.
    """

    help: str = ""
    short: tuple[str, ...] = ()
    sessions_only: bool = False
    cures_only: bool = False
    has_screen: bool = False


TABLES = "tables"
"""The view if none is asked for."""

VIEWS: Mapping[str, Format] = {
    TABLES: Format(has_screen=True),
    "json": Format("One JSON document; --schema prints its description."),
    "repl": Format("The session as a transcript for python -m doctest.", sessions_only=True, has_screen=True),
    "quiet": Format("One line, and the exit code.", short=("-q",)),
    "diff": Format("The cures as one patch, for patch -p0.", cures_only=True),
    "step": Format("For teaching: wait for a key before each line.", sessions_only=True),
}
"""Each view by the name of its option and of its module here, which is imported when asked for: JSON needs no rich."""

PLAIN = ".txt"
"""The ending of a file that takes the text that a pipe would get, without colours."""

ENDINGS = (".svg", ".html", PLAIN)
"""The endings of a file that a screen can be saved to."""

DOCUMENT = ".json"
"""The ending of a file that the JSON document can be saved to."""


class View(Protocol):
    """What the module of a view offers."""

    def show(self, report: AnyReport, out: TextIO) -> None:
        """Write the report to `out`, in one piece, once all of it is made."""

    def screen(self, report: AnyReport) -> RenderableType:
        """Return the report as rich draws it. Only for a view with a screen."""


def view_named(name: str) -> View:
    """Import the view of a name in VIEWS."""
    return cast(View, import_module(f"{__name__}.{name}"))


def file_text(name: str, report: AnyReport, ending: str, light: bool = False) -> str:
    """Return the text of a file: the screen of the view of that name, on white if it is `light`; for DOCUMENT JSON."""
    view = view_named("json" if ending == DOCUMENT else name)
    if ending in (PLAIN, DOCUMENT):
        text = io.StringIO()
        view.show(report, text)
        return text.getvalue()
    from relu_demo.views.screen import PICTURES
    from relu_demo.views.themes import DARK, LIGHT

    return PICTURES[ending](view.screen(report), command_line(report.request), LIGHT if light else DARK)
