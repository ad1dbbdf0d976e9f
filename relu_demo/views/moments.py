"""The table of one part of a session: its moments as columns, a tensor's properties as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from relu_demo.replay.trace import Look, TensorState, TracedPart
from relu_demo.views.fitting import fitting, width
from relu_demo.views.graph import Graph
from relu_demo.views.parts import add_row, cell, change, columns
from relu_demo.views.picture import CORNERS, corner, whole

LABELS = 7
"""Characters of the longest label. One more, and three moments of three numbers a row would need 81 columns."""

WHOLE_ROWS = 16
"""The most rows of text that a tensor is drawn whole in."""


@dataclass(frozen=True)
class Moments:
    """The moments of a part as large as they fit: all numbers or a corner of them, beside each other or stacked."""

    part: TracedPart

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        looks = tuple(self.part.looks.values())
        yield from fitting(console, options, layouts(looks))
        yield Text(common(looks), style="dim")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the widths of the narrowest and the widest layout that has all moments beside each other."""
        looks = tuple(self.part.looks.values())
        widths = [width(console, tables) for tables in layouts(looks) if len(tables) == 1]
        return Measurement(min(widths), max(widths))


def layouts(looks: Sequence[Look]) -> Iterator[list[Table]]:
    """Yield the tables to choose from, the roomiest first: all moments in one table, then a table for each."""
    for groups in ([looks], [[look] for look in looks]):
        for size in (None, *CORNERS):
            if size or all(all_numbers(look, looks[0]) for look in looks):
                yield [moments_table(group, looks, size) for group in groups]


def moments_table(group: Sequence[Look], looks: Sequence[Look], size: int | None) -> Table:
    """Return the looks of `group` as columns, each compared with those before it in `looks`.

    `size` is that of a corner in rows and columns, or None for all numbers.
    """
    table = columns([look.moment.title for look in group], LABELS if len(group) > 1 else LABELS + 1)
    cells = [look_cells(look, looks[: looks.index(look)], size) for look in group]
    if not any(look.moment.grad_fn_1_10 for look in looks):
        for column in cells:
            del column["in 1.10"]
    for label in cells[0]:
        add_row(table, label, [column[label] for column in cells])
    return table


def look_cells(look: Look, before: Sequence[Look], size: int | None) -> dict[str, RenderableType]:
    """Return the cells of one moment by their labels, in order."""
    state = look.state
    first = before[0] if before else look
    earlier = next((other.state for other in reversed(before) if other.state.name == state.name), None)
    other = before[-1].state if before else None
    cells: dict[str, RenderableType] = {
        "id": identity(str(state.id), state.id, "id", earlier, other),
        "storage": identity(f"{state.data_ptr:#014x}", state.data_ptr, "data_ptr", earlier, other),
        "version": cell(str(state.version), earlier is not None and earlier.version != state.version),
        "grad_fn": Graph(state.grad_fn, earlier is not None and earlier.grad_fn != state.grad_fn),
        "in 1.10": cell(look.moment.grad_fn_1_10, style="dim"),
        "values": summary(look, earlier, other),
    }
    values = state.values
    if size is None and (picture := all_numbers(look, first)) is not None:
        return {**cells, "": picture}
    size = size or CORNERS[-1]
    return {
        **cells,
        "in all": cell(str(values.elements)),
        "below 0": cell(str(values.negatives)),
        "zeros": cell(str(values.zeros)),
        "min": cell(f"{values.minimum:.4g}"),
        "max": cell(f"{values.maximum:.4g}"),
        "corner": corner(values, first.state.values, size, size),
    }


def all_numbers(look: Look, first: Look) -> Text | None:
    """Draw all numbers of a look, one matrix below the other, or return None if they are too many."""
    drawn = whole(look.state.values, first.state.values)
    picture = Text("\n\n").join(drawn) if drawn else None
    return picture if picture and picture.plain.count("\n") < WHOLE_ROWS else None


def identity(text: str, number: int, of: str, earlier: TensorState | None, other: TensorState | None) -> Text:
    """Return an id or an address, and whether it is that of the same name before, or of the tensor shown before."""
    if earlier is not None:
        same = getattr(earlier, of) == number
        return cell(f"{text} {'same' if same else 'other'}", not same)
    if other is not None:
        same = getattr(other, of) == number
        return cell(f"{text} {'is' if same else 'not'} {other.name}")
    return cell(text)


def summary(look: Look, earlier: TensorState | None, other: TensorState | None) -> Text:
    """Say how many values are negative, or how many differ from the part's first look.

    In a new tensor nothing has changed: name the tensor that it was computed from instead of marking a change.
    """
    if look.changed is None:
        return cell(f"{look.state.values.negatives} negative")
    if look.changed == 0:
        return change("none changed", False)
    words = f"{look.zeroed} zeroed" if look.changed == look.zeroed else f"{look.changed} changed"
    if earlier is None and other is not None and other.id != look.state.id:
        return cell(f"{other.name}, {words}")
    return cell(words, True)


def common(looks: Sequence[Look]) -> str:
    """Return the properties that the table leaves out: once if all looks share them, else for each."""
    states = [look.state for look in looks]
    properties = [
        f"{tuple(state.shape)} {state.dtype} on {state.device}, requires_grad={state.requires_grad}" for state in states
    ]
    if len(set(properties)) > 1:
        return "\n".join(f"{state.name}: {text}" for state, text in zip(states, properties, strict=True))
    article = "; in 1.10: the article" if any(look.moment.grad_fn_1_10 for look in looks) else ""
    return f"each: {properties[0]}{article}"
