"""The terminal: borrowed for a while to show screens and to wait for keys, and given back as it was."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import Console, RenderableType

INTERRUPT, ESCAPE = "\x03", "\x1b"
"""What Ctrl-C types while keys are read one by one, and what the code of an arrow or function key begins with."""

TERMINATED = 128 + 15
"""The exit code after SIGTERM, as a shell would tell it."""


def lacks_terminal() -> str | None:
    """Why there is no terminal to show screens and wait for keys on, in words, or None where there is one."""
    for name, stream in (("input", sys.stdin), ("output", sys.stdout)):
        if stream is None or stream.closed or not stream.isatty():
            return f"standard {name} is not one"
    if (term := os.environ.get("TERM")) in ("dumb", "unknown"):
        return f"TERM is {term}, which cannot go back in a line"
    return None


class Terminal:
    """Shows one screen at a time, again when the window changes its size, and waits for keys."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.screen: RenderableType = ""
        self.drawing = False
        self.stale = False

    def show(self, screen: RenderableType) -> None:
        """Puts `screen` in place of what is there. A renderable that fills `options.height` lines."""
        self.screen = screen
        self.draw()

    def draw(self) -> None:
        """Draws the screen in the window's size of now. Safe to be called by a signal in the middle of itself."""
        self.stale = True
        if self.drawing:
            return
        self.drawing = True
        while self.stale:
            self.stale = False
            if self.console.is_alt_screen:
                # Goes from line to line by the cursor, which works in the raw mode that waits for a key, too.
                self.console.update_screen(self.screen)
            else:  # an old Windows console
                self.console.print(self.screen)
        self.drawing = False

    def pressed(self) -> Iterator[str]:
        """Each key as it is pressed, until Ctrl-D or the end of the input.

        Raises KeyboardInterrupt for Ctrl-C. An arrow or function key is one string.
        """
        while True:
            try:
                typed = click.getchar()
            except EOFError:
                return
            if not typed:
                return
            if INTERRUPT in typed:
                raise KeyboardInterrupt
            # Keys that are pressed quickly, or held, come several at a time.
            yield from [typed] if typed.startswith(ESCAPE) else typed


@contextmanager
def borrowed(out: TextIO) -> Iterator[Terminal]:
    """The terminal that `out` is, with a screen of its own and without a cursor.

    However the block ends, by Ctrl-C and SIGTERM too, the screen that was there, the cursor, the terminal's modes and
    the signals' handlers are as before. SIGTERM raises SystemExit in the block.
    """
    from rich.console import Console

    # That it is a terminal is for `lacks_terminal` to say, whatever the environment tells rich.
    console = Console(file=out, highlight=False, markup=False, emoji=False, force_terminal=True)
    terminal = Terminal(console)
    with signals(terminal), silent_keys(), console.screen(hide_cursor=True):
        yield terminal


@contextmanager
def signals(terminal: Terminal) -> Iterator[None]:
    """Draws the screen again when the window changes its size, and turns SIGTERM into SystemExit."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    def resize(number: int, frame: FrameType | None) -> None:
        terminal.draw()

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, terminate)}
    if sys.platform != "win32":
        before[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def silent_keys() -> Iterator[None]:
    """Keeps keys that are pressed while nobody waits for one off the screen, and Ctrl-Z from leaving it half shown."""
    if sys.platform == "win32":
        yield
        return
    import termios

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    silent = termios.tcgetattr(descriptor)
    silent[3] &= ~termios.ECHO
    silent[6][termios.VSUSP] = bytes([os.fpathconf(descriptor, "PC_VDISABLE")])
    try:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, silent)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
