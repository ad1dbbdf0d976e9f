"""The tables: each kind of report on its screen, on a terminal, in a pipe, as text, or in a notebook."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

from relu_demo.language import speaking
from relu_demo.scenarios import kind_answered_by
from relu_demo.views import function_named

if TYPE_CHECKING:
    from relu_demo.scenarios import AnyReport

MONOSPACE = "ui-monospace, 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
"""Fonts that computers have, since a page must not fetch any."""

plain_console = partial(Console, highlight=False, markup=False, emoji=False, force_jupyter=False)
"""rich's console without its own ideas of what to colour and to replace, and of displaying it in a notebook besides."""


def screen_of(report: AnyReport) -> RenderableType:
    """Return the screen of a report. Import only what its kind needs."""
    screen: RenderableType = function_named(kind_answered_by(report).screen)(report)
    return screen


@dataclass(frozen=True)
class ScreenIn:
    """The screen of a report, in a language."""

    language: str
    report: AnyReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with speaking(self.language):
            yield from [*console.render(screen_of(self.report), options)]


def write_tables(report: AnyReport, out: TextIO) -> None:
    """Write the screen of a report."""
    write(screen_of(report), out)


def write(screen: RenderableType, out: TextIO, wrap: bool = True) -> None:
    """Write the screen: coloured on a terminal, plain elsewhere; as wide as the terminal, `COLUMNS`, or 80 columns.

    Without `wrap` long lines are not wrapped.
    """
    # FORCE_COLOR is meant for standard output, not for text that goes into a file.
    terminal = None if out in (sys.stdout, sys.stderr) else False
    console = plain_console(file=out, force_terminal=terminal)
    if console.legacy_windows:  # its colours are calls, not codes in the text
        console.print(screen, soft_wrap=not wrap)
        return
    with console.capture() as capture:
        console.print(screen, soft_wrap=not wrap)
    lines = capture.get().splitlines()
    out.write("\n".join(lines if console.is_terminal else map(str.rstrip, lines)) + "\n")


def text_of_tables(report: AnyReport) -> str:
    """Return the screen of a report as plain text."""
    out = io.StringIO()
    write_tables(report, out)
    return out.getvalue().rstrip("\n")
