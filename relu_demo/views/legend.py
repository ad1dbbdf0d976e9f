"""The legend: what the signs, the colours and the labels of a table mean, each in about five words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

MEANINGS = {
    "*": "* changed or zeroed",
    "storage": "storage: the numbers' address",
    "version": "version: times overwritten",
    "grad_fn": "grad_fn: what backward() calls first",
}
"""What is explained, by its sign or label."""

COLOURS = "blue is below 0, orange above"
"""Stands in the legend where the terminal has colours."""


@dataclass(frozen=True)
class Legend:
    """The meanings of those of MEANINGS that a table shows, and of the colours of its numbers."""

    shown: Sequence[str] = tuple(MEANINGS)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        meanings = [MEANINGS[each] for each in self.shown]
        if console.color_system and not console.no_color:
            meanings.append(COLOURS)
        yield Text("; ".join(meanings), style="dim")
