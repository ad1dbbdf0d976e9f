"""The columns of the table of moments: which looks stand beside each other, and what the cells say of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.text import Text

from relu_demo.language import _
from relu_demo.replay.trace import Look, TensorState, TracedPart
from relu_demo.views.parts import UNCHANGED, cell

MOST_NEXT = 4
"""The most nodes behind a grad_fn that are named: of a sum of many there are many."""


@dataclass(frozen=True)
class Column:
    """A look under a title, with a method for each cell.

    `before` has the looks of its part before it. `common` says that several parts begin with the same numbers, each in
    an object of its own.
    """

    title: str
    look: Look
    before: tuple[Look, ...] = ()
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
            return cell(_("{name} is computed anew", name=self.state.name), style="dim")
        return self.identity(str(self.state.id), "id", shown)

    def storage(self, shown: bool) -> Text:
        """Return the storage's address in the same way."""
        if self.common:
            return cell(_("for each half"), style="dim")
        if self.earlier is None and self.before and self.before[-1].state.data_ptr == self.state.data_ptr:
            return cell(_("that of {name}", name=self.before[-1].state.name))
        return self.identity(address_text(self.state), "data_ptr", shown)

    def identity(self, text: str, name: str, shown: bool) -> Text:
        """Return an id or an address, and whether it is the same as before; of a new name, that it is not the other."""
        if self.earlier is None:
            other = self.before[-1].state.name if self.before else ""
            return cell(_("{id} not {other}", id=text, other=other) if other else text)
        if getattr(self.earlier.state, name) == getattr(self.state, name):
            return cell(_("same") if shown else _("{id} same", id=text))
        return cell(_("{id} changed", id=text), True)

    def version(self) -> Text:
        """Return the version counter."""
        return cell(
            f"{self.state.version:,}", self.earlier is not None and self.earlier.state.version != self.state.version
        )

    def grad_fn(self) -> Text:
        """Return the name of the grad_fn's class."""
        return cell(self.state.grad_fn_name, self.is_rewritten)

    def behind(self) -> Text:
        """Return the names of the nodes behind the grad_fn, of a leaf that of its tensor."""
        nodes = self.state.grad_fn.next_functions if self.state.grad_fn else ()
        return cell("\n".join([node.variable or node.name for node in nodes][:MOST_NEXT]))

    def grad_fn_1_10(self) -> Text:
        """Return the name of the grad_fn in the article, or an empty text if the session does not tell."""
        return cell(self.look.moment.grad_fn_1_10, style="dim")

    def summary(self) -> Text:
        """Say how many values are negative, or how many differ from the part's first look; of a new tensor, are 0."""
        look = self.look
        if not self.before or look.changed is None:
            return cell(_("{count:,} negative", count=self.state.summary.negatives))
        if look.changed == 0:
            return cell(_("none changed"), style=UNCHANGED)
        if self.earlier is None:
            return cell(_("{n:,} zeros", n=self.state.summary.zeros))
        said = _("{n:,} zeroed", n=look.zeroed) if look.changed == look.zeroed else _("{n:,} changed", n=look.changed)
        return cell(said, True)


def address_text(state: TensorState) -> str:
    """Return the address of a tensor's storage as C prints it."""
    return f"{state.data_ptr:#014x}"


def distinct(columns: Iterable[Column]) -> list[Column]:
    """Return the columns without those that show the object of the one before under another name."""
    found: list[Column] = []
    for column in columns:
        was, now = (found[-1].state if found else None), column.state
        if was is None or was.name == now.name or (was.id, was.version) != (now.id, now.version):
            found.append(column)
    return found


def moments_of(part: TracedPart) -> list[Column]:
    """Return a column for each look of a part."""
    looks = tuple(part.moments.values())
    return distinct(Column(_(look.moment.title), look, looks[:number]) for number, look in enumerate(looks))


def side_by_side(parts: Sequence[TracedPart], apart: bool = False) -> list[Column] | None:
    """Return the first look, which the parts have in common, then each part's second.

    If `apart`, a last look at another object has a column of its own. Return None if a part has fewer than two looks,
    or if the parts do not begin with the same numbers.
    """
    looks = [tuple(part.moments.values()) for part in parts]
    if any(len(each) < 2 or each[0].state.summary is not looks[0][0].state.summary for each in looks):
        return None
    found = [Column(_(looks[0][0].moment.title), looks[0][0], common=True)]
    for part, (first, second, *others) in zip(parts, looks, strict=True):
        found.append(Column(in_half(part, second), second, (first,)))
        if apart and others and others[-1].state.id != second.state.id:
            found.append(Column(in_half(part, others[-1]), others[-1], (first, second)))
    return found


def in_half(part: TracedPart, look: Look) -> str:
    """Return the title of a look beside those of other parts."""
    title = _(part.title)
    return _("{moment}, {half}", moment=look.moment.title, half=title[:1].lower() + title[1:])
