"""The state table: a row for each named tensor, a cell for each property, and marks where one line changed them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from relu_demo.replay.trace import Step, Summary, TensorState
from relu_demo.views.parts import CHANGED, GAP, MARK, Underline, cell
from relu_demo.views.picture import corner, form, whole

NAME, NEGATIVE = "tensor", "<0"
"""The titles of a tensor's name and of the number of its negative elements."""

STORAGE = "storage"
"""The title of the cell that is left out first: it seldom changes without another cell."""

PRINTED = "printed below"
"""What stands in place of an id that the step printed."""

MORE = ("shape", "values")
"""The titles of the cells that a row has only if there is room."""

FIRST = 3
"""The most numbers of a tensor that stand in its row."""

APART = 3
"""Characters between two matrices beside each other."""

States = Mapping[str, TensorState]


@dataclass(frozen=True)
class Row:
    """A tensor's cells by their titles, the name first. `touched` says whether one of them is marked."""

    cells: Mapping[str, Text]
    touched: bool


def rows(step: Step, earlier: States) -> list[Row]:
    """Return a row for each tensor after `step` and each that is gone. `earlier` are the tensors before the step."""
    names = list(step.tensors)
    for number, name in enumerate(earlier):
        if name not in step.tensors:
            names.insert(number, name)
    return [row(step.tensors[name], step, earlier) if name in step.tensors else gone(name) for name in names]


def gone(name: str) -> Row:
    """Return the row of a name that no longer names a tensor."""
    blank = dict.fromkeys((STORAGE, "version", "grad_fn", NEGATIVE, *MORE), Text())
    return Row({NAME: cell(name, True), "id": cell("gone", style=CHANGED), **blank}, True)


def row(now: TensorState, step: Step, earlier: States) -> Row:
    """Return the row of one tensor. The name is marked if it is new, or if it changed and no other cell shows it.

    No address stands twice on the screen: an id that the step printed is there, and a second name of an object or of a
    storage refers to the first.
    """
    was = earlier.get(now.name)
    old = was or now
    names = list(step.tensors)
    sharing = [other for other in names[: names.index(now.name)] if step.tensors[other].data_ptr == now.data_ptr]
    same = [other for other in sharing if step.tensors[other].id == now.id]
    shown_id = "the same" if same else PRINTED if step.output.strip() == str(now.id) else str(now.id)
    shown_storage = "the same" if same else f"{sharing[0]}'s" if sharing else f"{now.data_ptr:#014x}"
    facts = {
        "id": (shown_id, now.id != old.id),
        STORAGE: (shown_storage, now.data_ptr != old.data_ptr),
        "version": (str(now.version), now.version != old.version),
        "grad_fn": (now.grad_fn_name, now.grad_fn != old.grad_fn),
        # A trace holds equal bits once.
        NEGATIVE: (str(now.summary.negatives), now.summary is not old.summary),
        "shape": (str(now.shape), now.shape != old.shape),
        "values": (first_numbers(now.summary), now.summary is not old.summary),
    }
    name = called(now, step.tensors)
    seen = any(changed for title, (_, changed) in facts.items() if title not in (STORAGE, *MORE))
    unseen = now.name in step.changed_tensors and not seen
    renamed = was is None or unseen or name != called(was, earlier)
    style = "" if was else CHANGED
    cells = {title: cell(text, changed, style) for title, (text, changed) in facts.items()}
    touched = renamed or any(changed for _, changed in facts.values())
    return Row({NAME: cell(name, renamed, style or "bold"), **cells}, touched)


def called(state: TensorState, tensors: States) -> str:
    """Return the tensor's name, and an earlier name of the same object: `h1 is o1`."""
    namesakes = [other.name for other in tensors.values() if other.id == state.id]
    return state.name if namesakes[0] == state.name else f"{state.name} is {namesakes[0]}"


def first_numbers(values: Summary) -> str:
    """Return the first numbers of a tensor as text."""
    numbers = [x for line in values.corner[:1] for x in line[:FIRST]]
    number = form(values)
    more = " ..." if values.elements > len(numbers) else ""
    return " ".join(format(x, number.spec).rjust(number.width) for x in numbers).lstrip() + more


def layouts(all_rows: Sequence[Row], columns: int) -> Iterator[RenderableType]:
    """Yield the ways to show the rows in so many columns, the longest first. Each has all rows that changed."""
    if not all_rows:
        yield Text("No tensor has a name yet.", style="dim")
        return
    widths = column_widths(all_rows, columns)

    def drawn(some: Sequence[Row]) -> RenderableType:
        return table(some, widths) if widths else Group(*(card(item, columns) for item in some))

    if widths:
        yield table(all_rows, widths, rule=True)
    yield drawn(all_rows)
    touched = sum(item.touched for item in all_rows)
    for number in range(len(all_rows) - 1, touched - 1, -1):
        chosen = sorted(all_rows, key=lambda item: not item.touched)[:number]
        some = [item for item in all_rows if item in chosen]
        rest = Text(f" {len(all_rows) - number} more, which this line left alone", style="dim")
        yield Group(drawn(some), rest) if some else rest


def column_widths(all_rows: Sequence[Row], columns: int) -> dict[str, int]:
    """Return the widths of the cells that fit beside each other, by their titles; none if the necessary ones do not.

    A column begins with the place of the mark, after a space if there is room.
    """
    for gap, without in ((1, ()), (0, ()), (1, (STORAGE,))):
        widths = {
            title: max(len(title) + 1, gap + max(item.cells[title].cell_len for item in all_rows))
            for title in all_rows[0].cells
        }
        titles = [title for title in widths if title not in (*MORE, *without)]
        if sum(widths[title] for title in titles) - gap <= columns:
            for title in MORE:
                if sum(widths[other] for other in (*titles, title)) - gap <= columns:
                    titles.append(title)
            return {title: widths[title] for title in titles}
    return {}


def table(some: Sequence[Row], widths: Mapping[str, int], rule: bool = False) -> Table:
    """Return the rows as a table with columns of these widths, by their titles."""
    grid = Table(box=None, padding=0, show_header=False, pad_edge=False)
    for title in widths:
        grid.add_column(width=widths[title], no_wrap=True, overflow="crop")
    grid.add_row(*(cell(title, style="dim") for title in widths))
    if rule:
        grid.add_row(*(Underline() for _ in widths))
    for item in some:
        grid.add_row(*(item.cells[title] for title in widths))
    return grid


def card(item: Row, columns: int) -> Text:
    """Return one row without a table: its cells one after the other, or only name and id if it is not touched."""
    lines = [item.cells[NAME].copy()]
    titles = [title for title, text in item.cells.items() if text.plain and title not in (NAME, *MORE)]
    for title in titles if item.touched else ("id",):
        piece = Text.assemble((title, "dim"), item.cells[title])
        if lines[-1].cell_len + len(GAP) + piece.cell_len > columns:
            lines.append(Text(" "))
        lines[-1].append_text(Text(GAP) if lines[-1].plain.strip() else Text(" ")).append_text(piece)
    return Text("\n").join(lines)


def pictures(step: Step, earlier: States, columns: int, most: int) -> Iterator[RenderableType]:
    """Yield pictures of the tensors that the step changed or made, each tensor once, the changed ones first.

    A picture takes at most `most` lines: a tensor is drawn whole, or by its corner, or left out.
    """
    drawn: set[int] = set()
    for now in sorted(step.changed_tensors.values(), key=lambda state: is_new(state, earlier)):
        was = now if is_new(now, earlier) else earlier[now.name]
        if now.id in drawn or (was is not now and was.summary is now.summary):
            continue
        drawn.add(now.id)
        words = f"{now.name}: {was.summary.negatives} of {was.summary.elements} below 0"
        if was is not now:
            words += f", now {now.summary.negatives}  ({MARK} zeroed)"
        picture = abreast(now.summary, was.summary, columns)
        if picture is None or height(picture) >= most:
            across = max(1, (columns + 1) // (form(now.summary, was.summary).width + 1))
            picture = corner(now.summary, was.summary, max(most - 2, 0), across)
        if height(picture) < most:
            yield Group(Text(words, style="bold"), picture)


def is_new(state: TensorState, earlier: States) -> bool:
    """Return whether the line gave the name to another tensor than before."""
    was = earlier.get(state.name)
    return was is None or was.id != state.id


def abreast(now: Summary, was: Summary, columns: int) -> Text | None:
    """Draw all numbers, as many matrices beside each other as fit, or return None if one is too wide."""
    drawn = whole(now, was)
    if not drawn:
        return None
    across = max(line.cell_len for matrix in drawn for line in matrix.split())
    if across > columns:
        return None
    many = (columns + APART) // (across + APART)
    rows_of = [drawn[start : start + many] for start in range(0, len(drawn), many)]
    gap = Text(" " * APART)
    return Text("\n\n").join(
        Text("\n").join(gap.join(line) for line in zip(*(matrix.split() for matrix in some), strict=True))
        for some in rows_of
    )


def height(text: Text) -> int:
    """Return how many lines a text has."""
    return text.plain.count("\n") + 1
