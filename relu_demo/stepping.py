"""The stepping: runs a session line by line, each line when a key is pressed, and shows what it changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TextIO

from rich.console import Console

from relu_demo.claims import judge
from relu_demo.replay import traces
from relu_demo.report import Report
from relu_demo.session import Session
from relu_demo.terminal import borrowed
from relu_demo.views.step import Screen, farewell

ON, BACK, END = " \r\n", "bB", "qQ"
"""The keys that go on (Space and Enter), look back, and end."""


def step(session: Session, listed: int, out: TextIO) -> int:
    """Steps through the session on the terminal that `out` is, and gives the exit code.

    0 where it is left before its last line has run, else that of the claims: 1 where one fails. Values are listed in
    full up to `listed` elements. Raises LineError where a line raises, KeyboardInterrupt and SystemExit where somebody
    asks for that; the terminal is as it was by then.
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
    console = Console(file=out, highlight=False, markup=False, emoji=False)
    console.print(farewell(screen))
    return 0 if Report(screen.trace, screen.findings).ok else 1
