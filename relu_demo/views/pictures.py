"""The pictures of a screen: as SVG and as HTML, in colours for a dark ground, or for white paper and projectors."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.segment import Segment, Segments
from rich.style import Style
from rich.terminal_theme import TerminalTheme

from relu_demo.language import _, cells
from relu_demo.views.numbers import ABOVE, BELOW
from relu_demo.views.tables import MONOSPACE, plain_console, screen_of

if TYPE_CHECKING:
    from relu_demo.scenarios import AnyReport

CELL = 100
"""The width of a screen in a notebook, in columns: what a cell has room for."""

HEIGHT = 10_000
"""The height of rich's console for pictures, in lines: no picture is too short for its screen."""

ASPECT = 0.602
"""The ratio of width to height of most characters."""

NO_CELL = "\u200b"
"""A character of no width."""

WIDE = re.compile("[\u3001-\u9fff\uff01-\uff5e]+")
"""Chinese characters with their punctuation."""

SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} HEIGHT" role="img" aria-label="TITLE">
<style>
.{unique_id}-matrix {{ font-family: MONOSPACE; font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
RULES
</style>
<rect width="100%" height="100%" fill="GROUND"/>
<svg width="{width}" height="HEIGHT"><g transform="translate({terminal_x}, {terminal_x})"><g class="screen">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g></g></svg>
</svg>
""".replace("MONOSPACE", MONOSPACE)
"""The picture on its ground: above the text the margin of its left, below it what is left of an empty line."""

HTML = """\
<!DOCTYPE html>
<html lang="LANG">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>TITLE</title>
<style>
body {{ margin: 1.5em; color: {foreground}; background-color: {background}; print-color-adjust: exact; }}
pre {{ font: 14px/1.3 MONOSPACE; }}
pre code {{ font: inherit; }}
{stylesheet}
</style>
</head>
<body>
<pre><code>{code}</code></pre>
</body>
</html>
""".replace("MONOSPACE", MONOSPACE)


@dataclass(frozen=True)
class Theme:
    """The colours of a picture. Without a `dim` of its own rich fades dim text."""

    colours: TerminalTheme
    tints: Mapping[str, str]
    """The tint that stands in for each of the terminal's."""
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
    tints={},
)
"""Legible on any page, for the picture has its ground with it."""

LIGHT = Theme(
    terminal_theme("""
    ffffff 111318
    111318 b3261e 1b7a2f 7a5b00 0b57c2 9c1670 006c7a 55585e
    55585e b3261e 1b7a2f 7a5b00 0b57c2 9c1670 006c7a 111318
    """),
    tints=dict(zip((*BELOW, *ABOVE), ("#82b7e2", "#5da1d9", "#388cd0", "#feedd6", "#fddaad", "#fcc47c"), strict=True)),
    dim="#5a5d66",
)
"""For paper: printed in grey each tint is darker than the one before, from small positive to large negative."""


def spread(text: str) -> str:
    """Return a text with as many characters as it has cells: rich's SVG gives each character one."""
    return text if text.isascii() else "".join(each + NO_CELL * (cells(each) - 1) for each in text)


def widened(page: str) -> str:
    """Return HTML in which a Chinese character is as wide as two others, whatever the reader's fonts."""
    return WIDE.sub(r'<span style="letter-spacing:calc(2ch - 1em)">\g<0></span>', page)


def recorded(
    screen: RenderableType, theme: Theme, written: Callable[[str], str] = str, width: int | None = None
) -> Console:
    """Return a console that has recorded the screen in the theme's colours, or in none if NO_COLOR is set.

    `written` says how a text is written, in as many cells.
    """
    console = plain_console(
        file=io.StringIO(),
        width=width or plain_console().width,
        height=HEIGHT,
        record=True,
        force_terminal=True,
        legacy_windows=False,
        color_system="truecolor",
    )
    coloured = theme.applied(console.render(screen))
    segments = (Segment(written(text), style, control) for text, style, control in coloured)
    # rich obeys NO_COLOR only when it writes to a terminal.
    console.print(Segments(Segment.remove_color(segments) if console.no_color else segments))
    console.print()  # rich cuts the last line off at its base line
    return console


def svg_picture(screen: RenderableType, title: str, theme: Theme = DARK) -> str:
    """Return the screen as a self-contained picture in SVG."""
    return svg_of(recorded(screen, theme, spread), title, theme)


def svg_of(console: Console, title: str, theme: Theme, height: str = "{terminal_height}", rules: str = "") -> str:
    """Return what a console has recorded in SVG, so high, with further style `rules`."""
    unique = f"r{zlib.crc32(title.encode()):08x}"  # for pages that hold several such pictures
    ground = theme.colours.background_color.hex
    template = SVG.replace("HEIGHT", height).replace("RULES", braced(rules)).replace("GROUND", ground)
    template = template.replace("TITLE", braced(escape(title)))
    svg = console.export_svg(theme=theme.colours, code_format=template, font_aspect_ratio=ASPECT, unique_id=unique)
    return re.sub(r' clip-path="[^"]*"', "", svg).replace("&#160;", "\u00a0")  # half the size, and nothing is cut


def html_picture(screen: RenderableType, title: str, theme: Theme = DARK) -> str:
    """Return the screen as a self-contained page in HTML, under a title."""
    template = HTML.replace("LANG", _("en")).replace("TITLE", braced(escape(title)))
    return widened(recorded(screen, theme).export_html(theme=theme.colours, code_format=template))


def html_of_cell(report: AnyReport) -> str:
    """Return the screen of a report as the output of a notebook's cell: a `<pre>` of CELL columns on its own ground."""
    console = recorded(screen_of(report), DARK, width=CELL)
    ground = "color:{foreground};background-color:{background};padding:0.8em 1em;overflow-x:auto"
    code = f'<pre style="font-family:{MONOSPACE};line-height:1.2;{ground}">{{code}}</pre>'
    return widened(console.export_html(theme=DARK.colours, inline_styles=True, code_format=code))


def braced(text: str) -> str:
    """Escape the text for a template of `str.format`."""
    return text.replace("{", "{{").replace("}", "}}")


PICTURES: Mapping[str, Callable[[RenderableType, str, Theme], str]] = {".svg": svg_picture, ".html": html_picture}
"""The function that draws a picture, by the ending of its file."""
