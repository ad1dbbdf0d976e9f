"""The themes of a picture: its colours on a dark ground, and on white for print and projectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme

from relu_demo.views.picture import NEGATIVE, POSITIVE


@dataclass(frozen=True)
class Theme:
    """The colours of a picture, and whether it is drawn in a window.

    `tints` has the tint that stands in for each of the terminal's, `dim` the colour of dim text. Without a `dim` rich
    fades it.
    """

    colours: TerminalTheme
    window: bool
    tints: Mapping[str, str]
    dim: str = ""

    def applied(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """Yield the segments in this theme's own colours where it has some."""
        for text, style, control in segments:
            yield Segment(text, style and self.restyled(style), control)

    def restyled(self, style: Style) -> Style:
        """Return a style in this theme's own colours where it has some."""
        if style.bgcolor and style.bgcolor.name in self.tints:
            style += Style(bgcolor=self.tints[style.bgcolor.name])
        if style.dim and self.dim:
            style += Style(color=style.color or self.dim, dim=False)
        return style


def terminal_theme(colours: str) -> TerminalTheme:
    """Return rich's theme of 18 colours `rrggbb`: background, foreground, the eight of a terminal, and bright ones."""
    background, foreground, *palette = [(r, g, b) for r, g, b in map(bytes.fromhex, colours.split())]
    return TerminalTheme(background, foreground, palette[:8], palette[8:])


DARK = Theme(
    terminal_theme("""
    16181d eef0f3
    3c4048 f07178 8cc86e e6be69 69aaf5 e17de1 55c3cd cdd0d6
    808691 ff8b92 a5dc87 f5d282 87beff f096f0 73d7e1 fafafa
    """),
    window=True,
    tints={},
)
"""Legible on any page, for the picture has its ground with it."""

LIGHT = Theme(
    terminal_theme("""
    ffffff 111318
    111318 b3261e 1b7a2f 7a5b00 0b57c2 9c1670 006c7a 55585e
    55585e b3261e 1b7a2f 7a5b00 0b57c2 9c1670 006c7a 111318
    """),
    window=False,
    tints=dict(
        zip((*NEGATIVE, *POSITIVE), ("#82b7e2", "#5da1d9", "#388cd0", "#feedd6", "#fddaad", "#fcc47c"), strict=True)
    ),
    dim="#5a5d66",
)
"""For paper: printed in grey each tint is darker than the one before, from small positive to large negative."""
