"""The views: one module a format or a screen. A view reads a report and never touches torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO

from relu_demo.language import mark

if TYPE_CHECKING:
    from relu_demo.scenarios import AnyReport


@dataclass(frozen=True)
class Format:
    """A view as the command line offers it. Its functions stand as `module:name`, and are imported when asked for."""

    write: str
    """Takes a report and a stream, and writes to that in one piece, once all of it is made."""
    help: str = ""
    short: tuple[str, ...] = ()
    """Its short options."""
    sessions_only: bool = False
    cures_only: bool = False
    screen: str = ""
    """Returns the report as rich draws it, for a picture; empty where a view has no screen."""
    lessons: str = ""
    """What makes a file of a report, by the file's ending, where a view is saved as more than a screen."""


TABLES = "tables"
"""The view if none is asked for."""

# A new view has its row here.
VIEWS: Mapping[str, Format] = {
    TABLES: Format("tables:write_tables", screen="tables:screen_of"),
    "json": Format("json:write_document", mark("One JSON document; --schema prints its description.")),
    "repl": Format(
        "repl:write_transcript",
        mark("The session as a transcript for python -m doctest."),
        sessions_only=True,
        screen="repl:Transcript",
    ),
    "quiet": Format("one_line:write_line", mark("One line, and the exit code."), short=("-q",)),
    "diff": Format("one_line:write_patch", "The cures as one patch, for patch -p0.", cures_only=True),
    "step": Format(
        "step:write_end",
        mark("For teaching: wait for a key before each step."),
        sessions_only=True,
        lessons="lesson:LESSONS",
    ),
}
"""Each view by the name of its option."""

COLOURED = (".svg", ".html")
"""The endings of a file that takes a screen in colours."""

DOCUMENT = ".json"
"""The ending of a file that takes the JSON document."""

ENDINGS = (*COLOURED, ".txt", DOCUMENT)
"""The endings of a file that a report can be saved to; a .txt file takes the text that a pipe would get."""


def function_named(place: str) -> Any:
    """Import `module:name` of this folder: JSON needs no rich."""
    module, _, name = place.partition(":")
    return getattr(import_module(f"{__name__}.{module}"), name)


def writer_of(view: str) -> Callable[[AnyReport, TextIO], None]:
    """Import what writes the view of a name in VIEWS."""
    write: Callable[[AnyReport, TextIO], None] = function_named(VIEWS[view].write)
    return write
