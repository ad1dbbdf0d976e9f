"""The picture of a tensor: its numbers in rows and columns, those that were zeroed marked one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.text import Text

from relu_demo.trace import Look, Nested, Values

WHOLE_ROWS = 16
"""Up to how many rows of text a tensor is drawn whole."""

CORNERS = (8, 6, 4, 3)
"""The sizes of corner to try for a larger tensor, in rows and columns, the best first."""

ZEROED = "*"
"""Stands in the place of the sign of a number that was negative and is zero now."""

ZEROED_STYLE = "reverse"

Matrix = list[list[float]]


def whole(look: Look, first: Look) -> Text | None:
    """All numbers of a look, or None where there are too many. Zeroed is what was negative at the `first` look."""
    if look.state.values.nested is None or first.state.values.nested is None:
        return None
    now, was = list(matrices(look.state.values.nested)), list(matrices(first.state.values.nested))
    if sum(len(matrix) + 1 for matrix in now) - 1 > WHOLE_ROWS:
        return None
    number = form(first.state.values, look.state.values)
    return Text("\n\n").join(draw(matrix, was[index], number) for index, matrix in enumerate(now))


def corner(look: Look, first: Look, size: int) -> Text:
    """The top left of the first matrix, at most `size` by `size` numbers."""
    values = look.state.values
    now = [row[:size] for row in values.corner[:size]]
    drawn = draw(now, first.state.values.corner, form(first.state.values, values))
    shown = sum(map(len, now))
    return drawn if shown == values.elements else drawn + Text("\n ...", style="dim")


def matrices(nested: Nested) -> Iterator[Matrix]:
    """The matrices of a nested list of any depth, in order. A vector is a matrix of one row, a number one of one."""
    if not isinstance(nested, list):
        yield [[nested]]
    elif not nested or not isinstance(nested[0], list):
        yield [nested]  # type: ignore[list-item]
    elif not nested[0] or not isinstance(nested[0][0], list):
        yield nested  # type: ignore[misc]
    else:
        for inner in nested:
            yield from matrices(inner)


def form(*many: Values) -> tuple[str, int]:
    """The format that suits the values, as PyTorch prints them, and the width of the widest number with its sign."""
    extremes = [
        abs(x) for values in many for x in (values.minimum, values.maximum) if x is not None and math.isfinite(x)
    ]
    largest = max(extremes, default=0.0)
    spec = ".4f" if largest == 0 or 1e-3 <= largest < 1e5 else ".3e"
    return spec, len(format(largest, spec)) + 1


def draw(now: Matrix, was: Matrix, number: tuple[str, int]) -> Text:
    """One matrix as lines of numbers. `was` has at least its rows and columns, with the numbers before."""
    spec, width = number
    lines = []
    for row, before in zip(now, was, strict=False):
        cells = []
        for x, old in zip(row, before, strict=False):
            zeroed = old < 0 and x == 0
            digits = (ZEROED if zeroed else "") + format(x, spec)
            cells.append(Text(digits.rjust(width), style=ZEROED_STYLE if zeroed else ""))
        lines.append(Text(" ").join(cells))
    return Text("\n").join(lines)
