"""The autograd graph as a tree of characters: a tensor's `grad_fn` and all that its `next_functions` lead to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from relu_demo.language import _, cells, mark
from relu_demo.replay.trace import Node
from relu_demo.views.parts import cell

MOST_LINES = 16
"""The most lines that are drawn of a graph: nobody reads thousands."""

DRAWN_ABOVE = mark(" (above)")
"""Stands behind a node that has been drawn with all that is behind it."""

UNICODE, ASCII = ("├ ", "└ ", "│ "), ("|-", "`-", "| ")
"""The branch to a node, to the last one of its level, and past others. With more than two characters each, three graphs
would not stand beside each other in 80 columns."""


@dataclass(frozen=True)
class Graph:
    """The graph behind a tensor, a node a line, or None. Its first node is marked if `changed`."""

    grad_fn: Node | None
    changed: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = tree(self.grad_fn, ASCII if options.ascii_only else UNICODE)
        text = Text.assemble(cell(lines[0][1], self.changed))
        for branches, name in lines[1:]:
            text.append("\n ").append(branches, style="dim").append(name)
        yield text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = 1 + max(cells(branches + name) for branches, name in tree(self.grad_fn, ASCII))
        return Measurement(width, width)


def tree(node: Node | None, branches: tuple[str, str, str]) -> list[tuple[str, str]]:
    """Return a line for each node: the branches that lead to it, and its name; for a leaf, that of its tensor.

    What is behind a node that several others lead to is drawn once.
    """
    if node is None:
        return [("", "None")]
    lines = list(islice(grow(node, branches, set()), MOST_LINES + 1))
    return lines if len(lines) <= MOST_LINES else [*lines[:MOST_LINES], ("", "...")]


def grow(node: Node, branches: tuple[str, str, str], drawn: set[int]) -> Iterator[tuple[str, str]]:
    """Yield the lines of `tree` from a node on. `drawn` has the ids of the nodes that are drawn."""
    between, last, past = branches
    again = node.id in drawn
    drawn.add(node.id)
    yield "", (node.variable or node.name) + (_(DRAWN_ABOVE) if again and node.next_functions else "")
    behind = () if again else node.next_functions
    for number, one in enumerate(behind, 1):
        first, others = (last, "  ") if number == len(behind) else (between, past)
        for line, (guides, name) in enumerate(grow(one, branches, drawn)):
            yield (others if line else first) + guides, name
