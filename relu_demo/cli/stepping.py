"""The stepping: a session's lines run step by step, each step at a key, and the screen shows what it changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from relu_demo.machine.terminal import Terminal, borrowed
from relu_demo.views.step import StepScreen

if TYPE_CHECKING:
    from relu_demo.claims.report import SessionReport

ON = ("Right", "Down", "PageDown", "n", "Space", "Enter")
BACK = ("Left", "Up", "PageUp", "b")
PART_END = ("s",)
END = ("q", "Ctrl-D")
"""The keys that do the same, by their names in `relu_demo.machine.keys.KEYS`: what clickers and hands send.

A letter does the same as a capital.
"""


def step(coming: Iterator[SessionReport], out: TextIO) -> SessionReport:
    """Step through a session on the terminal that `out` is, and return the report on the lines that have run.

    `coming` yields the report before the first line and after each; a line runs when the report after it is asked for.
    The first step runs at once, each other one at a key; a key behind the last ends. Raise what `coming` raises, and
    KeyboardInterrupt and SystemExit where somebody asks for that; the terminal is restored by then.
    """
    screen = StepScreen(next(coming))
    with borrowed(out) as terminal:
        screen = ran_to(1, screen, coming, terminal)
        for key in terminal.pressed():
            name = key if len(key) > 1 else key.lower()
            if name in END or (name in ON + PART_END and screen.at == len(screen.steps)):
                break
            at = screen.at
            if name in ON + BACK + PART_END:
                at = at + 1 if name in ON else screen.part_end if name in PART_END else max(1, at - 1)
            screen = ran_to(at, screen, coming, terminal)
    return screen.report


def ran_to(at: int, screen: StepScreen, coming: Iterator[SessionReport], terminal: Terminal) -> StepScreen:
    """Show and return the screen after the first `at` steps. Run those of them that have not run."""
    while screen.ran < at:
        terminal.show(replace(screen, at=screen.ran, running=True))
        for _ in screen.steps[screen.ran]:
            screen = StepScreen(next(coming))
    screen = replace(screen, at=at)
    terminal.show(screen)
    return screen
