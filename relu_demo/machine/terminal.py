"""The terminal, borrowed to show screens and to wait for keys, and given back as it was."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from relu_demo.language import _, mark
from relu_demo.machine.keys import keys

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import Console, RenderableType

ENDING: list[signal.Signals] = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
]
"""The signals that ask for an end: from `kill`, from a terminal that goes away, and for Ctrl-\\."""


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is there, open, and a terminal."""
    return stream is not None and not stream.closed and stream.isatty()


def lacks_terminal() -> str | None:
    """Return in words why there is no terminal to show screens and wait for keys on, or None if there is one."""
    no_input, no_output = mark("standard input is not one"), mark("standard output is not one")
    for why, stream in ((no_input, sys.stdin), (no_output, sys.stdout)):
        if not is_terminal(stream):
            return _(why)
    if (term := os.environ.get("TERM")) in ("dumb", "unknown"):
        return _("TERM is {term}, which cannot go back in a line", term=term)
    return None


class Terminal:
    """A terminal that shows one screen at a time, draws it again when the window is resized, and waits for keys."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.screen: RenderableType = ""
        self.drawing = False
        self.stale = False

    def show(self, screen: RenderableType) -> None:
        """Show `screen`, a renderable that fills `options.max_height` lines, in place of the screen before it."""
        self.screen = screen
        self.draw()

    def draw(self) -> None:
        """Draw the screen in the window's present size. Safe to be called by a signal handler while it runs."""
        self.stale = True
        if self.drawing:
            return
        self.drawing = True
        while self.stale:
            self.stale = False
            if self.console.is_alt_screen:
                # This moves the cursor from line to line, which also works in the raw mode in which keys are read.
                self.console.update_screen(self.screen)
            else:  # an old Windows console
                self.console.print(self.screen)
        self.drawing = False

    def pressed(self) -> Iterator[str]:
        """Yield each key as it is pressed, by its name in `relu_demo.machine.keys.KEYS` or as the character it types.

        End at the end of the input, and at a Ctrl-D that comes alone. Raise KeyboardInterrupt for Ctrl-C.
        """
        import click  # a check in Python does without

        begun = ""
        while True:
            try:
                typed = click.getchar()
            except EOFError:
                return
            if not typed:
                return
            # Keys that are pressed quickly, or held down, come several at a time, and the last may be cut off.
            pressed, begun = keys(begun + typed)
            if "Ctrl-C" in pressed:
                raise KeyboardInterrupt
            yield from pressed


@contextmanager
def borrowed(out: TextIO) -> Iterator[Terminal]:
    """Yield the terminal that `out` is, switched to its alternate screen, without a cursor.

    However the block ends, by Ctrl-C and a signal too, the former screen, the cursor, the terminal's modes and the
    signals' handlers are restored. The screen is drawn again when the window is resized. A signal of ENDING raises
    SystemExit in the block; one that is ignored, as `nohup` has it, stays so.
    """
    from rich.console import Console

    # `lacks_terminal` has found that it is a terminal; rich would ask the environment.
    console = Console(file=out, highlight=False, markup=False, emoji=False, force_terminal=True)
    terminal = Terminal(console)

    def end(number: int, frame: FrameType | None) -> None:
        for each in ends:  # a second one must not cut the restoring short
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)  # as a shell reports it

    def resize(number: int, frame: FrameType | None) -> None:
        terminal.draw()

    ends = {number: end for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN}
    resizes: dict[signal.Signals, Callable[[int, FrameType | None], None]] = {}
    if sys.platform != "win32":
        resizes[signal.SIGWINCH] = resize
    # While the screen is entered or left, no signal writes to it.
    with handling(ends), silent_keys(), console.screen(hide_cursor=True), handling(resizes):
        yield terminal


@contextmanager
def handling(handlers: Mapping[signal.Signals, Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    """Have signals handled like this inside the context, and as before afterwards."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def silent_keys() -> Iterator[None]:
    """Turn off, inside the context, the terminal's echo, and Ctrl-Z, which would leave the screen half drawn."""
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
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
