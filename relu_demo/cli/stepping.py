"""The stepping: replays a session line by line, each line when a key is pressed, and shows what it changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TextIO

from relu_demo.claims.judge import judge
from relu_demo.claims.report import SessionReport
from relu_demo.machine.terminal import borrowed
from relu_demo.replay.capacity import require_capacity
from relu_demo.replay.replay import traces
from relu_demo.request import Replay
from relu_demo.session.sessions import session_for
from relu_demo.views.step import StepScreen

ON, BACK, END = " \r\n", "bB", "qQ"
"""The keys that go on (Space and Enter), look back, and end."""


def step(request: Replay, out: TextIO) -> SessionReport:
    """Step through a session on the terminal that `out` is, and return the report on the lines that have run.

    It has findings only where the last line has run. Raise SetupError where this machine cannot run the session,
    LineError where a line raises that should not, and KeyboardInterrupt and SystemExit where somebody asks for that;
    the terminal is as it was by then.
    """
    session = session_for(request)
    require_capacity(session)
    coming = traces(session)
    screen = StepScreen(next(coming))
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
                screen = StepScreen(trace, screen.at + 1)
                if screen.ran == screen.lines:
                    screen = replace(screen, findings=judge(trace))
            elif key in ON:
                screen = replace(screen, at=screen.at + 1)
            terminal.show(screen)
    return SessionReport(screen.trace, screen.findings)
