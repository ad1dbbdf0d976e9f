"""The picture of a tensor: its numbers in rows and columns, tinted, those that were zeroed marked one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rich.style import Style
from rich.text import Text

from relu_demo.replay.trace import Nested, Values
from relu_demo.views.parts import MARK

CORNERS = (8, 6, 4, 3)
"""The sizes of corner to try for a larger tensor, in rows and columns, the best first."""

ZEROED_STYLE = Style(color="#9c1670", bgcolor="#ffffff", bold=True, reverse=True)
"""How a number that was negative and is zero now stands out, besides its MARK in the place of the sign: white on
magenta, and where there are no colours still in reverse."""

NEGATIVE = ("#b0d5f0", "#8cc0e8", "#66a6dc")
POSITIVE = ("#fdd9a0", "#fbbc70", "#f09844")
"""The tints of numbers from small to large, blue and orange: told apart by those who cannot tell red from green, and
apart too where rich must make do with the terminal's 16 colours."""

INK = "#000000"
"""What is written on a tint: both colours are set, so that no background of the terminal makes them illegible."""

Matrix = list[list[float]]

MOST = 10_000
"""Up to how many numbers are drawn: more fit on no screen, and a number drawn takes a thousand times its own bytes."""


def whole(now: Values, was: Values) -> list[Text] | None:
    """Every matrix, drawn, or None where the numbers are not listed or too many. Zeroed is what was below 0."""
    if now.nested is None or was.nested is None or now.elements > MOST:
        return None
    number = form(was, now)
    return [draw(*pair, number) for pair in zip(matrices(now.nested), matrices(was.nested), strict=True)]


def corner(now: Values, was: Values, rows: int, columns: int) -> Text:
    """The top left of the first matrix, at most so many rows and columns of it."""
    top: Matrix = [row[:columns] for row in now.corner[:rows]]
    drawn = draw(top, was.corner, form(was, now))
    return drawn if sum(map(len, top)) == now.elements else drawn + Text("\n ...", style="dim")


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


@dataclass(frozen=True)
class Form:
    """How numbers are written and tinted: their format, the widest with its sign, the largest magnitude."""

    spec: str
    width: int
    largest: float


def form(*many: Values) -> Form:
    """The form that suits the values. They are written as PyTorch prints them."""
    extremes = [abs(x) for values in many for x in (values.minimum, values.maximum) if math.isfinite(x)]
    largest = max(extremes, default=0.0)
    spec = ".4f" if largest == 0 or 1e-3 <= largest < 1e5 else ".3e"
    return Form(spec, len(format(largest, spec)) + 1, largest)


def tint(x: float, largest: float) -> Style:
    """The colours of a number: the larger its part of the `largest`, the deeper. A zero has none, nor a NaN."""
    if x == 0 or not math.isfinite(x) or not largest:
        return Style()
    tints = NEGATIVE if x < 0 else POSITIVE
    depth = math.ceil(abs(x) / largest * len(tints)) - 1
    return Style(color=INK, bgcolor=tints[max(0, min(depth, len(tints) - 1))])


def draw(now: Matrix, was: Matrix, form: Form) -> Text:
    """One matrix as lines of numbers. `was` has at least its rows and columns, with the numbers before."""
    lines = []
    for row, before in zip(now, was, strict=False):
        cells = []
        for x, old in zip(row, before, strict=False):
            zeroed = old < 0 and x == 0
            digits = (MARK if zeroed else "") + format(x, form.spec)
            cells.append(Text(digits.rjust(form.width), style=ZEROED_STYLE if zeroed else tint(x, form.largest)))
        lines.append(Text(" ").join(cells))
    return Text("\n").join(lines)
