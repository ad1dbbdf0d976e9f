"""The stepping: a session's lines run step by step, each step at a key, and the screen shows what it changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from relu_demo.machine.terminal import Terminal, borrowed
from relu_demo.views.keys import ACTIONS, Action
from relu_demo.views.step import StepScreen

if TYPE_CHECKING:
    from relu_demo.claims.report import SessionReport


def step(coming: Iterator[SessionReport], out: TextIO) -> SessionReport:
    """Step through a session on the terminal that `out` is, and return the report on the lines that have run.

    `coming` yields the report before the first line and after each; a line runs when the report after it is asked for.
    The first step runs at once, each other one at a key. Raise what `coming` raises, and KeyboardInterrupt and
    SystemExit where somebody asks for that; the terminal is restored by then.
    """
    screen = StepScreen(next(coming))
    with borrowed(out) as terminal:
        screen = ran_to(screen.after(Action.ON), screen, coming, terminal)
        terminal.show(screen)
        for key in terminal.pressed():
            action = ACTIONS.get(key)
            if action is Action.END:
                break
            if screen.listing:
                screen = replace(screen, listing=False)
            elif action is Action.HELP:
                screen = replace(screen, listing=True)
            elif screen.verdicts and action is not Action.BACK:
                break
            elif action:
                screen = ran_to(screen.after(action), screen, coming, terminal)
            terminal.show(screen)
    return screen.report


def ran_to(at: int, screen: StepScreen, coming: Iterator[SessionReport], terminal: Terminal) -> StepScreen:
    """Return the screen after the first `at` lines. Run those of them that have not run, a step at a time."""
    while screen.ran < min(at, screen.lines):
        screen = replace(screen, at=screen.ran)
        terminal.show(replace(screen, running=True))
        for _ in range(screen.after(Action.ON) - screen.ran):
            report = next(coming)
        screen = StepScreen(report, screen.after(Action.ON))
    return replace(screen, at=at)
