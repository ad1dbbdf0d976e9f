"""The stepping: a session's lines run one by one, each when a key is pressed, and the screen shows what it changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from relu_demo.machine.terminal import borrowed
from relu_demo.views.step import StepScreen

if TYPE_CHECKING:
    from relu_demo.claims.report import SessionReport

ON, BACK, END = " \r\n", "bB", "qQ"
"""The keys that go on (Space and Enter), look back, and end."""


def step(coming: Iterator[SessionReport], out: TextIO) -> SessionReport:
    """Step through a session on the terminal that `out` is, and return the report on the lines that have run.

    `coming` yields the report before the first line and after each; a line runs when the report after it is asked for.
    Raise what `coming` raises, and KeyboardInterrupt and SystemExit where somebody asks for that; the terminal is
    restored by then.
    """
    report = next(coming)
    screen = StepScreen(report.trace)
    with borrowed(out) as terminal:
        terminal.show(screen)
        for key in terminal.pressed():
            if key in END:
                break
            if key in BACK:
                screen = replace(screen, at=max(0, screen.at - 1))
            elif screen.verdicts:
                break
            elif key in ON and screen.at == screen.ran < screen.lines:
                terminal.show(replace(screen, running=True))
                report = next(coming)
                screen = StepScreen(report.trace, screen.at + 1, report.findings)
            elif key in ON:
                screen = replace(screen, at=screen.at + 1)
            terminal.show(screen)
    return report
