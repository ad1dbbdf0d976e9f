"""The numbers of a tensor in rows and columns, tinted, those that were zeroed marked one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rich.style import Style
from rich.text import Text

from relu_demo.replay.trace import Nested, Summary
from relu_demo.views.parts import MARK

CORNERS = (8, 6, 4, 3)
"""The sizes of corner to try for a larger tensor, in rows and columns, the largest first."""

FEW_ROWS = 9
"""The most rows of text that a tensor is drawn whole in on a short screen."""

ZEROED_STYLE = Style(color="#9c1670", bgcolor="#ffffff", bold=True, reverse=True)
"""The style of a number that was negative and is zero now, whose sign is MARK: white on magenta; without colours still
in reverse."""

BELOW = ("#b0d5f0", "#8cc0e8", "#66a6dc")
ABOVE = ("#fdd9a0", "#fbbc70", "#f09844")
"""The tints of numbers from small to large. Blue and orange differ for the colour-blind, and in rich's choice among a
terminal's 16 colours."""

INK = "#000000"
"""The colour of digits on a tint: with both set, they are legible on any terminal's background."""

Matrix = list[list[float]]

MOST_DRAWN = 10_000
"""The most numbers that are drawn: more fit on no screen, and a drawn number takes a thousand times its own bytes."""


def all_numbers(now: Summary, was: Summary) -> Text | None:
    """Draw every matrix, one below the other. `was` are the numbers before, in the same shape.

    Return None if the numbers are not listed or too many.
    """
    if now.values is None or was.values is None or now.elements > MOST_DRAWN:
        return None
    number = form(was, now)
    return Text("\n").join(draw(*pair, number) for pair in zip(matrices(now.values), matrices(was.values), strict=True))


def corner(now: Summary, was: Summary, rows: int, columns: int) -> Text:
    """Draw the top left of the first matrix, at most so many rows and columns of it."""
    top: Matrix = [row[:columns] for row in now.corner[:rows]]
    drawn = draw(top, was.corner, form(was, now))
    return drawn if sum(map(len, top)) == now.elements else drawn + Text("\n ...", style="dim")


def excerpt(now: Summary, was: Summary) -> Text:
    """Draw all numbers in few rows, or a corner."""
    drawn = all_numbers(now, was)
    return drawn if drawn and drawn.plain.count("\n") < FEW_ROWS else corner(now, was, CORNERS[-1], CORNERS[-1])


def matrices(nested: Nested) -> Iterator[Matrix]:
    """Yield the matrices of a nested list of any depth. A vector is a matrix of one row, a number one of 1 by 1."""
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
    """How numbers are written and tinted: their format, the width of the widest with sign, the largest magnitude."""

    spec: str
    width: int
    largest: float


def form(*many: Summary) -> Form:
    """Return the form that suits all the values, written as PyTorch prints them."""
    extremes = [abs(x) for values in many for x in (values.min, values.max) if math.isfinite(x)]
    largest = max(extremes, default=0.0)
    spec = ".4f" if largest == 0 or 1e-3 <= largest < 1e5 else ".3e"
    return Form(spec, len(format(largest, spec)) + 1, largest)


def tint(x: float, largest: float) -> Style:
    """Return the colours of a number, the deeper the closer it is to the `largest`. A zero and a NaN have none."""
    if x == 0 or not math.isfinite(x) or not largest:
        return Style()
    tints = BELOW if x < 0 else ABOVE
    depth = math.ceil(abs(x) / largest * len(tints)) - 1
    return Style(color=INK, bgcolor=tints[max(0, min(depth, len(tints) - 1))])


def draw(now: Matrix, was: Matrix, form: Form) -> Text:
    """Draw a matrix as lines of numbers. `was` has the numbers before, in at least as many rows and columns."""
    lines = []
    for row, before in zip(now, was, strict=False):
        cells = []
        for x, old in zip(row, before, strict=False):
            zeroed = old < 0 and x == 0
            digits = (MARK if zeroed else "") + format(x, form.spec)
            cells.append(Text(digits.rjust(form.width), style=ZEROED_STYLE if zeroed else tint(x, form.largest)))
        lines.append(Text(" ").join(cells))
    return Text("\n").join(lines)
