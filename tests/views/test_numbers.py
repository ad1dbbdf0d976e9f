"""The numbers as a picture: tinted by value, legible anywhere, and complete without a colour."""

from __future__ import annotations

import io
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text
from support.colours import contrast
from support.ptys import ESCAPE, on_a_terminal, posix

from relu_demo.views.numbers import ABOVE, BELOW, INK, ZEROED_STYLE, Form, draw, tint

FORM = Form(".4f", 7, 1.0)
SYSTEMS = [ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT, ColorSystem.STANDARD, ColorSystem.WINDOWS]
finite = st.floats(-1, 1).filter(lambda x: x != 0)


def shown(colour: Color | None, system: ColorSystem) -> str:
    """The colour that a terminal with that many colours shows, as #rrggbb."""
    assert colour is not None
    return colour.downgrade(system).get_truecolor(DEFAULT_TERMINAL_THEME).hex


def colours(text: Text) -> list[Style]:
    """The style of each number of a row."""
    return [span.style for span in text.spans if isinstance(span.style, Style)]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("background", [*BELOW, *ABOVE])
def test_a_number_is_legible_on_its_tint_whatever_is_behind_the_terminal(system: ColorSystem, background: str) -> None:
    assert contrast(shown(Color.parse(INK), system), shown(Color.parse(background), system)) >= 4.5


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_zeroed_number_is_legible_and_like_no_other(system: ColorSystem) -> None:
    ink, ground = (shown(colour, system) for colour in (ZEROED_STYLE.bgcolor, ZEROED_STYLE.color))
    assert ZEROED_STYLE.reverse
    assert contrast(ink, ground) >= 4.5
    assert ground not in {shown(Color.parse(tint), system) for tint in (*BELOW, *ABOVE)}


@pytest.mark.parametrize("system", SYSTEMS)
def test_negatives_are_apart_from_positives_on_any_terminal(system: ColorSystem) -> None:
    below, above = ({shown(Color.parse(tint), system) for tint in tints} for tints in (BELOW, ABOVE))
    assert not below & above


@given(finite, finite)
def test_a_tint_tells_the_sign_and_how_large(x: float, y: float) -> None:
    for number in (x, y):
        style = tint(number, 1.0)
        assert style.bgcolor is not None
        assert style.color == Color.parse(INK)
        assert (style.bgcolor.name in BELOW) == (number < 0)
        assert (style.bgcolor.name in ABOVE) == (number > 0)
    if abs(x) <= abs(y):
        assert depth(x) <= depth(y)


def depth(x: float) -> int:
    bgcolor = tint(x, 1.0).bgcolor
    assert bgcolor is not None
    return (BELOW if x < 0 else ABOVE).index(bgcolor.name)


@pytest.mark.parametrize("x", [0.0, -0.0, math.nan, math.inf, -math.inf])
def test_what_is_neither_above_nor_below_has_no_tint(x: float) -> None:
    assert tint(x, 1.0) == Style()
    assert tint(x, 0.0) == Style()


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=6))
def test_the_text_alone_says_everything(row: list[float]) -> None:
    relu = [max(x, 0.0) for x in row]
    text = draw([relu], [row], FORM)
    words = text.plain.split()
    assert [word.startswith("*") for word in words] == [x < 0 for x in row]
    assert [float(word.lstrip("*")) for word in words] == [pytest.approx(x, abs=5e-5) for x in relu]
    out = io.StringIO()
    Console(file=out, color_system="truecolor", force_terminal=True, no_color=False, width=200).print(text)
    assert re.sub(ESCAPE + r"\[[0-9;]*m", "", out.getvalue()) == text.plain + "\n"


def test_negatives_positives_and_zeroed_each_have_their_style() -> None:
    before, after = [-1.0, 0.2, 1.0], [0.0, 0.2, 1.0]
    assert [style.bgcolor and style.bgcolor.name for style in colours(draw([before], [before], FORM))] == [
        BELOW[-1],
        ABOVE[0],
        ABOVE[-1],
    ]
    assert colours(draw([after], [before], FORM))[0] == ZEROED_STYLE


@posix
def test_a_terminal_with_colours_gets_tints_and_one_without_gets_signs() -> None:
    options = ("--inplace", "--article", "--seed", "7")
    _, shown, _ = on_a_terminal(*options, COLORTERM="truecolor")
    assert re.search(ESCAPE + r"\[38;2;0;0;0;48;2;[0-9;]+m-0\.8362", shown)
    assert re.search(ESCAPE + r"\[1;7;[0-9;]+m\*0\.0000", shown)
    _, shown, _ = on_a_terminal(*options, NO_COLOR="1")
    assert not re.search(ESCAPE + r"\[[0-9;]*[34]8;", shown)
    assert re.search(ESCAPE + r"\[1;7m\*0\.0000", shown)
    assert "-0.8362" in shown
