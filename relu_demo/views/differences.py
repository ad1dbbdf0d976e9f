"""The table of what differs: a part's moments as rows, each held against the same moment of another part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from relu_demo.trace import Look
from relu_demo.views.parts import add_row, cell, columns, told


@dataclass(frozen=True)
class Differences:
    """How far each moment is from its reference: version counter, how many numbers differ, the largest difference."""

    looks: Sequence[Look]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        held = [look for look in self.looks if look.changed is not None]
        labels = max((len(look.moment.title) for look in self.looks), default=0) + 1
        table = columns(["version", "differ from right", "by up to"] if held else ["version"], labels)
        for look in self.looks:
            cells = [cell(str(look.state.version))]
            if look.changed is not None:
                wrong = look.changed > 0
                cells.append(told(f"{look.changed} of {look.state.values.elements}" if wrong else "none", wrong))
                cells.append(cell(f"{look.largest:.4g}" if wrong else "", wrong))
            elif held:
                cells += [Text(), Text()]
            add_row(table, look.moment.title, cells)
        yield table
