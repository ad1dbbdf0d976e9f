"""The stepping: runs a session line by line, each line when a key is pressed, and shows what it changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TextIO

from relu_demo.claims.judge import judge
from relu_demo.claims.report import Report
from relu_demo.machine.terminal import borrowed
from relu_demo.replay.replay import traces
from relu_demo.session.lines import Session
from relu_demo.views.step import Screen

ON, BACK, END = " \r\n", "bB", "qQ"
"""The keys that go on (Space and Enter), look back, and end."""


def step(session: Session, listed: int, out: TextIO) -> Report:
    """Steps through the session on the terminal that `out` is, and gives the report on what has run.

    It has findings only where the last line has run. Values are listed in full up to `listed` elements. Raises
    LineError where a line raises that is not expected to, and KeyboardInterrupt and SystemExit where somebody asks for
    that; the terminal is as it was by then.
    """
    coming = traces(session, listed)
    screen = Screen(next(coming))
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
                trace = next(coming)
                screen = Screen(trace, screen.at + 1)
                if screen.ran == screen.lines:
                    screen = replace(screen, findings=judge(trace))
            elif key in ON:
                screen = replace(screen, at=screen.at + 1)
            terminal.show(screen)
    return Report(screen.trace, screen.findings)
