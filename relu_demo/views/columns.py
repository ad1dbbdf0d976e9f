"""The columns of the table of moments: which looks stand beside each other, and what the cells say of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich.text import Text

from relu_demo.replay.trace import Look, TensorState, TracedPart
from relu_demo.views.parts import CHANGED, MARK, UNCHANGED, cell
from relu_demo.views.tree import Graph

ONE_LINE = 22
"""Characters of an id and `not o1`, with which a column is as wide as three numbers."""


@dataclass(frozen=True)
class Column:
    """A look under a title, with a method for each cell.

    `before` has the looks of its part before it, `result` the look at what was made of it. `common` says that several
    parts begin with the same numbers, each in an object of its own.
    """

    title: str
    look: Look
    before: tuple[Look, ...] = ()
    result: Look | None = None
    common: bool = False

    @property
    def state(self) -> TensorState:
        """The tensor at the look."""
        return self.look.state

    @property
    def earlier(self) -> Look | None:
        """The last look before this one at the tensor of the same name."""
        return next((look for look in reversed(self.before) if look.state.name == self.state.name), None)

    @property
    def is_rewritten(self) -> bool:
        """Whether the tensor had another grad_fn before."""
        return self.earlier is not None and self.earlier.state.grad_fn != self.state.grad_fn

    def object_id(self, shown: bool) -> Text:
        """Return the id, and whether it is that of the same name before: alone if that id is `shown` in the table."""
        if self.common:
            return cell(f"{self.state.name} is computed anew", style="dim")
        return self.identity(str(self.state.id), "id", shown)

    def storage(self, shown: bool) -> Text:
        """Return the storage's address in the same way."""
        if self.common:
            return cell("for each half", style="dim")
        if self.earlier is None and self.before and self.before[-1].state.data_ptr == self.state.data_ptr:
            return cell(f"that of {self.before[-1].state.name}")
        return self.identity(address_text(self.state), "data_ptr", shown)

    def identity(self, text: str, name: str, shown: bool) -> Text:
        """Return an id or an address, and whether it is the same as before; of a new name, that it is not the other."""
        if self.earlier is None:
            return cell(f"{text} not {self.before[-1].state.name}" if self.before else text)
        if getattr(self.earlier.state, name) == getattr(self.state, name):
            return cell("same" if shown else f"{text} same")
        return cell(f"{text} changed", True)

    def version(self) -> Text:
        """Return the version counter."""
        return cell(
            f"{self.state.version:,}", self.earlier is not None and self.earlier.state.version != self.state.version
        )

    def grad_fn(self) -> Text:
        """Return the name of the grad_fn's class."""
        return cell(self.state.grad_fn_name, self.is_rewritten)

    def graph(self) -> Graph:
        """Return the grad_fn with all that is behind it."""
        return Graph(self.state.grad_fn, self.is_rewritten)

    def grad_fn_1_10(self) -> Text:
        """Return the name of the grad_fn in the article, or an empty text if the session does not tell."""
        return cell(self.look.moment.grad_fn_1_10, style="dim")

    def summary(self) -> Text:
        """Say how many values are negative, or how many differ from the part's first look.

        In a new tensor nothing has changed: name the tensor that it was computed from instead of marking a change.
        """
        look = self.look
        if not self.before or look.changed is None:
            return cell(f"{self.state.summary.negatives:,} negative")
        if look.changed == 0:
            return cell("none changed", style=UNCHANGED)
        words = f"{look.zeroed:,} zeroed" if look.changed == look.zeroed else f"{look.changed:,} changed"
        return cell(words, True) if self.earlier else cell(f"{self.before[-1].state.name}, {words}")

    def result_of(self, name: str) -> Text:
        """Return whether the result of that name is the column's tensor itself, else what its own column would say.

        That is its id, its storage's address, its grad_fn, and how many of its numbers are 0.
        """
        if self.result is None or self.result.state.name != name:
            return Text()
        made, other = self.result.state, self.state.name
        if made.id == self.state.id:
            return cell(f"{other} itself", style=CHANGED)
        where = f"that of {other}" if made.data_ptr == self.state.data_ptr else f"{address_text(made)} not {other}"
        last = made.grad_fn_name, f"{made.summary.zeros:,} zeros"
        one_line = len(" ".join(last)) <= ONE_LINE
        return cell("\n".join([f"{made.id} not {other}", where, (" " if one_line else "\n").join(last)]))


def address_text(state: TensorState) -> str:
    """Return the address of a tensor's storage as C prints it."""
    return f"{state.data_ptr:#014x}"


def without_mark(text: Text) -> str:
    """Return what a cell says, without its mark."""
    return text.plain.strip(f" {MARK}")


def joined(columns: Iterable[Column]) -> list[Column]:
    """Return the columns; one of a tensor that the last column shows under another name is the result of that."""
    found: list[Column] = []
    for column in columns:
        was, now = (found[-1].state if found else None), column.state
        if was and was.name != now.name and (was.id, was.version) == (now.id, now.version):
            found[-1] = replace(found[-1], result=column.look)
        else:
            found.append(column)
    return found


def moments_of(part: TracedPart) -> list[Column]:
    """Return a column for each look of a part."""
    looks = tuple(part.moments.values())
    return joined(Column(look.moment.title, look, looks[:number]) for number, look in enumerate(looks))


def side_by_side(parts: Sequence[TracedPart], apart: bool = False) -> list[Column] | None:
    """Return the first look, which the parts have in common, then each part's second with its last as the result.

    If `apart`, a result that is another object has a column of its own. Return None if a part has fewer than two looks,
    or if the parts do not begin with the same numbers.
    """
    looks = [tuple(part.moments.values()) for part in parts]
    if any(len(each) < 2 or each[0].state.summary is not looks[0][0].state.summary for each in looks):
        return None
    found = [Column(looks[0][0].moment.title, looks[0][0], common=True)]
    for part, (first, second, *others) in zip(parts, looks, strict=True):
        of_part = f", {part.title[:1].lower()}{part.title[1:]}"
        result = others[-1] if others else None
        column = Column(second.moment.title + of_part, second, (first,), result)
        if apart and result is not None and result.state.id != second.state.id:
            own = Column(result.moment.title + of_part, result, (first, second))
            found += [replace(column, result=None), own]
        else:
            found.append(column)
    return found
