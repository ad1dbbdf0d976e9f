"""The picture of names, objects and storages: which name is which tensor, and which tensor has which memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from relu_demo.language import _, listed, mark
from relu_demo.replay.trace import TensorState, TracedPart
from relu_demo.views.columns import address_text
from relu_demo.views.parts import CHANGED, MARK, first_fitting

JOINTS = " ─▶ ", " ┬▶ ", " ┤  ", " ┘  ", " │  "
PLAIN_JOINTS = " -> ", " +> ", " +  ", " '  ", " |  "
"""From one name to one object; and of several that lead to one: the first, one between, the last, one passed by."""

TAIL = 4
"""Characters of an id or an address that are shown where all of it does not fit."""


@dataclass(frozen=True)
class Objects:
    """Arrows from names to tensors and on to storages. `earlier` are the tensors before: what changed is marked."""

    tensors: Sequence[TensorState]
    earlier: Mapping[str, TensorState]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        signs = PLAIN_JOINTS if options.ascii_only else JOINTS
        forms = ((str, False), (tail_of, False), (tail_of, True))
        drawn = (list(self.lines(signs, *form)) for form in forms)
        yield from first_fitting(drawn, lambda lines: max(line.cell_len for line in lines) <= options.max_width)

    def lines(self, signs: Sequence[str], shown: Callable[[str], str], below: bool) -> Iterator[Text]:
        """Yield a line for each name, with ids and addresses as `shown`, and notes beside or `below` the lines."""
        wide = max(len(state.name) for state in self.tensors)
        for _address, in_storage in groupby(self.tensors, lambda state: state.data_ptr):
            objects = [list(names) for _, names in groupby(in_storage, lambda state: state.id)]
            first = objects[0][0]
            storage, note = Text(f"storage {shown(address_text(first))}"), self.note(first)
            for at, names in enumerate(objects):
                tensor = f"tensor {shown(str(names[0].id))}{joint(at, len(objects), signs)}"
                for row, state in enumerate(names):
                    text = Text(f"{state.name:{wide}}{joint(row, len(names), signs)}")
                    if not row:
                        text.append(tensor)
                    elif at < len(objects) - 1:
                        text.append(signs[4].rjust(len(tensor)))
                    if state is first:
                        text.append_text(storage if below else Text("  ").join([storage, note]))
                    text.rstrip()
                    yield text
            if below:
                yield Text(" " * (wide + 1)).append_text(note)

    def note(self, state: TensorState) -> Text:
        """Say of a storage that was there before what its version counter is now, of a new one what is in it."""
        was = next((each for each in self.earlier.values() if each.data_ptr == state.data_ptr), None)
        zeros, version = state.summary.zeros, mark("version {version:,}", version=state.version)
        if was is None:
            new = [state.grad_fn_name] * bool(state.grad_fn) + [mark("{n:,} zeros", n=zeros)] * bool(zeros)
            return Text(_(listed(new or [version])))
        if was.version == state.version:
            return Text(_(version))
        zeroed = zeros - was.summary.zeros
        said = listed([version, *[mark("{n:,} zeroed", n=zeroed)] * (zeroed > 0)])
        return Text(MARK + _(said), style=CHANGED)


def joint(at: int, count: int, signs: Sequence[str]) -> str:
    """Return the sign for one of several that lead to the same."""
    return signs[0] if count == 1 else signs[1] if not at else signs[3] if at == count - 1 else signs[2]


def tail_of(text: str) -> str:
    """Return the end of an id or an address."""
    return f"..{text[-TAIL:]}"


def objects_of(source: str, tensors: Mapping[str, TensorState], earlier: Mapping[str, TensorState]) -> Objects | None:
    """Return the picture of the tensors that a line names, and of those that share their memory; None without any."""
    words = set(re.findall(r"\w+", source))
    keys = {state.data_ptr for name, state in tensors.items() if name in words}
    chosen = [state for state in tensors.values() if state.data_ptr in keys]
    order = {key: at for at, key in enumerate(dict.fromkeys(state.data_ptr for state in chosen))}
    ids = {key: at for at, key in enumerate(dict.fromkeys(state.id for state in chosen))}
    chosen.sort(key=lambda state: (order[state.data_ptr], ids[state.id]))
    return Objects(chosen, earlier) if chosen else None


def objects_at_end(part: TracedPart) -> Objects | None:
    """Return the picture of the tensors that a part looks at, as they are at its end; None without any."""
    looks = list(part.moments.values())
    names = " ".join(look.state.name for look in looks)
    return objects_of(names, part.lines[-1].tensors, {looks[0].state.name: looks[0].state})
