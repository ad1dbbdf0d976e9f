"""The screen: how what a view draws reaches a terminal, a pipe or a picture."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Callable, Mapping
from html import escape
from typing import TextIO

from rich.console import Console, RenderableType
from rich.segment import Segment, Segments
from rich.terminal_theme import TerminalTheme

HEIGHT = 25
"""The height that rich is told where it draws pictures, in lines. Nothing here depends on it."""

MONOSPACE = "ui-monospace, 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
"""Fonts that are there already, since a picture must not fetch any."""

ASPECT = 0.602
"""Width to height of most of them."""

BUTTONS = 16
"""How much wider than its title a picture must be, in characters, for rich's three buttons to have their place."""

THEME = TerminalTheme(
    (22, 24, 29),
    (238, 240, 243),
    [
        (60, 64, 72),
        (240, 113, 120),
        (140, 200, 110),
        (230, 190, 105),
        (105, 170, 245),
        (225, 125, 225),
        (85, 195, 205),
        (205, 208, 214),
    ],
    [
        (128, 134, 145),
        (255, 139, 146),
        (165, 220, 135),
        (245, 210, 130),
        (135, 190, 255),
        (240, 150, 240),
        (115, 215, 225),
        (250, 250, 250),
    ],
)
"""The colours of the pictures: their own dark background, so that they are legible on any page."""

SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="TITLE">
<style>
.{unique_id}-matrix {{ font-family: MONOSPACE; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: MONOSPACE; font-size: 16px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g>
</svg>
""".replace("MONOSPACE", MONOSPACE)  # noqa: E501

HTML = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>TITLE</title>
<style>
body {{ margin: 1.5em; color: {foreground}; background-color: {background}; }}
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


def show(screen: RenderableType, out: TextIO, wrap: bool = True) -> None:
    """Writes the screen: coloured on a terminal, plain elsewhere; as wide as the terminal, `COLUMNS`, or 80 columns.

    Without `wrap` a line stays one line, however long it is.
    """
    # FORCE_COLOR speaks of standard output, and not of a text that goes into a file.
    terminal = None if out is sys.stdout else False
    console = Console(file=out, force_terminal=terminal, highlight=False, markup=False, emoji=False)
    if console.legacy_windows:  # coloured by calls, not by codes in the text
        console.print(screen, soft_wrap=not wrap)
        return
    with console.capture() as capture:
        console.print(screen, soft_wrap=not wrap)
    lines = capture.get().splitlines()
    out.write("\n".join(lines if console.is_terminal else map(str.rstrip, lines)) + "\n")


def draw(screen: RenderableType) -> Console:
    """A console that has recorded the screen in all its colours, or in none where NO_COLOR asks for that."""
    console = Console(
        file=io.StringIO(),
        width=Console().width,
        height=HEIGHT,
        record=True,
        force_terminal=True,
        force_jupyter=False,
        legacy_windows=False,
        color_system="truecolor",
        highlight=False,
        markup=False,
        emoji=False,
    )
    segments = console.render(screen)
    # rich heeds NO_COLOR on its way to a terminal only.
    console.print(Segments(Segment.remove_color(segments) if console.no_color else segments))
    console.print()  # rich cuts the last line at its base line
    return console


def svg(screen: RenderableType, title: str) -> str:
    """The screen as a picture in SVG, under a title. It needs nothing from elsewhere."""
    template = SVG.replace("TITLE", braced(escape(title)))
    unique = f"relu-demo-{zlib.crc32(title.encode()):08x}"  # for pages that hold several such pictures
    drawn = draw(screen)
    return drawn.export_svg(
        title=title if len(title) + BUTTONS <= drawn.width else "",
        theme=THEME,
        code_format=template,
        font_aspect_ratio=ASPECT,
        unique_id=unique,
    )


def html(screen: RenderableType, title: str) -> str:
    """The screen as a page in HTML, under a title. It needs nothing from elsewhere."""
    return draw(screen).export_html(theme=THEME, code_format=HTML.replace("TITLE", braced(escape(title))))


def braced(text: str) -> str:
    """The text as `str.format` gives it back unchanged."""
    return text.replace("{", "{{").replace("}", "}}")


PICTURES: Mapping[str, Callable[[RenderableType, str], str]] = {".svg": svg, ".html": html}
"""What draws a picture, by the ending of the file that it goes into."""
