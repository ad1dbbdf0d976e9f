"""The choice of columns: which looks of a session stand beside each other in a table, and under which title."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from relu_demo.replay.trace import Look, TensorState, TracedPart


@dataclass(frozen=True)
class Column:
    """A look under a title. `before` has the looks of its part before it, `result` the look at what was made of it.

    `common` says that several parts begin with the same numbers, each in an object of its own.
    """

    title: str
    look: Look
    before: tuple[Look, ...] = ()
    result: Look | None = None
    common: bool = False

    @property
    def earlier(self) -> Look | None:
        """The last look before this one at the tensor of the same name."""
        return next((look for look in reversed(self.before) if look.state.name == self.look.state.name), None)


def moments_of(part: TracedPart) -> list[Column]:
    """Return a column for each look of a part. One at a tensor that the last column shows is the result of that."""
    found: list[Column] = []
    looks = tuple(part.moments.values())
    for number, look in enumerate(looks):
        if found and is_same(found[-1].look.state, look.state):
            found[-1] = replace(found[-1], result=look)
        else:
            found.append(Column(look.moment.title, look, looks[:number]))
    return found


def is_same(one: TensorState, other: TensorState) -> bool:
    """Return whether two states are of one object under two names that has not changed between them."""
    return one.name != other.name and one.id == other.id and one.version == other.version


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
