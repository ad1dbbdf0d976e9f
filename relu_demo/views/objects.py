"""The picture of names, objects and storages: which name is which tensor, and which tensor has which memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from relu_demo.replay.trace import TensorState
from relu_demo.views.parts import CHANGED, MARK

JOINTS = " ──▶ ", " ─┬▶ ", " ─┤  ", " ─┘  ", "  │  "
PLAIN_JOINTS = " --> ", " -+> ", " -+  ", " -'  ", "  |  "
"""From one name to one object; and of several that lead to one: the first, one between, the last, one passed by."""

LAST = 4
"""Characters of an id or an address that are shown."""


@dataclass(frozen=True)
class Objects:
    """Arrows from names to tensors and on to storages. `earlier` are the tensors before: what changed is marked."""

    tensors: Sequence[TensorState]
    earlier: Mapping[str, TensorState]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.lines(PLAIN_JOINTS if options.ascii_only else JOINTS)

    def lines(self, signs: Sequence[str]) -> Iterator[Text]:
        """Yield a line for each name."""
        wide = max((len(state.name) for state in self.tensors), default=0)
        for _, in_storage in groupby(self.tensors, lambda state: state.data_ptr):
            objects = [list(names) for _, names in groupby(in_storage, lambda state: state.id)]
            for at, names in enumerate(objects):
                tensor = f"tensor {tail_of(str(names[0].id))}"
                for row, state in enumerate(names):
                    text = Text(f"{state.name:{wide}}{joint(row, len(names), signs)}")
                    is_last = at == len(objects) - 1
                    if row:
                        text.append("" if is_last else " " * len(tensor) + signs[4])
                    else:
                        text.append(f"{tensor}{joint(at, len(objects), signs)}")
                        text.append_text(self.storage(state) if not at else Text())
                    text.rstrip()
                    yield text

    def storage(self, state: TensorState) -> Text:
        """Return a storage with its version counter, and how many of its numbers have changed."""
        was = next((each for each in self.earlier.values() if each.data_ptr == state.data_ptr), state)
        text = Text(f"storage {tail_of(hex(state.data_ptr))}  ")
        overwritten = was.version != state.version
        text.append(f"{MARK if overwritten else ''}version {state.version}", style=CHANGED if overwritten else "")
        zeroed = state.summary.zeros - was.summary.zeros
        if overwritten and zeroed > 0:
            text.append(f", {zeroed} of {state.summary.elements} zeroed", style=CHANGED)
        return text


def joint(at: int, count: int, signs: Sequence[str]) -> str:
    """Return the sign for one of several that lead to the same."""
    return signs[0] if count == 1 else signs[1] if not at else signs[3] if at == count - 1 else signs[2]


def tail_of(text: str) -> str:
    """Return the end of an id or an address: a table has all of it."""
    return f"...{text[-LAST:]}"


def objects_of(source: str, tensors: Mapping[str, TensorState], earlier: Mapping[str, TensorState]) -> Objects | None:
    """Return the picture of the tensors that a line names, and of those that share their memory; None without any."""
    words = set(re.findall(r"\w+", source))
    keys = {state.data_ptr for name, state in tensors.items() if name in words}
    chosen = [state for state in tensors.values() if state.data_ptr in keys]
    order = {key: at for at, key in enumerate(dict.fromkeys(state.data_ptr for state in chosen))}
    ids = {key: at for at, key in enumerate(dict.fromkeys(state.id for state in chosen))}
    chosen.sort(key=lambda state: (order[state.data_ptr], ids[state.id]))
    return Objects(chosen, earlier) if chosen else None
