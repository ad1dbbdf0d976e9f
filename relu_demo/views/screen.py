"""The output of a screen: to a terminal, a pipe or a picture."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import TextIO

from rich.console import Console, RenderableType
from rich.segment import Segment, Segments

from relu_demo.views.themes import DARK, Theme

WIDTH = 100
"""The width of a screen in a notebook, in columns: what a cell has room for."""

HEIGHT = 10_000
"""The height of rich's console for pictures, in lines: no picture is too short for its screen."""

MONOSPACE = "ui-monospace, 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
"""Fonts that computers have, since a picture must not fetch any."""

ASPECT = 0.602
"""The ratio of width to height of most of them."""

BUTTONS = 16
"""Characters of a picture's width that rich's three buttons take beside the title."""

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
"""The picture in a window, under its title."""

BARE_SVG = (
    SVG.replace("{width} {height}", "{width} {terminal_height}")
    .replace("{chrome}", '<rect width="100%" height="100%" fill="GROUND"/>')
    .replace("{terminal_x}, {terminal_y}", "{terminal_x}, {terminal_x}")
)
"""The picture with a narrow margin and nothing else, for a page or a slide that has a title of its own.

Above the text the margin is that of its left; below it, what is left of the empty line at the end.
"""

HTML = """\
<!DOCTYPE html>
<html lang="en">
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


plain_console = partial(Console, highlight=False, markup=False, emoji=False, force_jupyter=False)
"""rich's console without its own ideas of what to colour and to replace, and of displaying it in a notebook besides."""


def write(screen: RenderableType, out: TextIO, wrap: bool = True) -> None:
    """Write the screen: coloured on a terminal, plain elsewhere; as wide as the terminal, `COLUMNS`, or 80 columns.

    Without `wrap` long lines are not wrapped.
    """
    # FORCE_COLOR is meant for standard output, not for text that goes into a file.
    terminal = None if out in (sys.stdout, sys.stderr) else False
    console = plain_console(file=out, force_terminal=terminal)
    if console.legacy_windows:  # its colours are calls, not codes in the text
        console.print(screen, soft_wrap=not wrap)
        return
    with console.capture() as capture:
        console.print(screen, soft_wrap=not wrap)
    lines = capture.get().splitlines()
    out.write("\n".join(lines if console.is_terminal else map(str.rstrip, lines)) + "\n")


def recorded(screen: RenderableType, theme: Theme) -> Console:
    """Return a console that has recorded the screen in the theme's colours, or in none if NO_COLOR is set."""
    console = plain_console(
        file=io.StringIO(),
        width=plain_console().width,
        height=HEIGHT,
        record=True,
        force_terminal=True,
        legacy_windows=False,
        color_system="truecolor",
    )
    segments = theme.applied(console.render(screen))
    # rich obeys NO_COLOR only when it writes to a terminal.
    console.print(Segments(Segment.remove_color(segments) if console.no_color else segments))
    console.print()  # rich cuts the last line off at its base line
    return console


def svg(screen: RenderableType, title: str, theme: Theme = DARK) -> str:
    """Return the screen as a self-contained picture in SVG, under a title if the theme draws a window."""
    bare = BARE_SVG.replace("GROUND", theme.colours.background_color.hex)
    template = (SVG if theme.window else bare).replace("TITLE", braced(escape(title)))
    unique = f"relu-demo-{zlib.crc32(title.encode()):08x}"  # for pages that hold several such pictures
    console = recorded(screen, theme)
    room = console.width - BUTTONS
    return console.export_svg(
        title=title if len(title) <= room else f"{title[: room - 1]}…",
        theme=theme.colours,
        code_format=template,
        font_aspect_ratio=ASPECT,
        unique_id=unique,
    )


def html(screen: RenderableType, title: str, theme: Theme = DARK) -> str:
    """Return the screen as a self-contained page in HTML, under a title."""
    template = HTML.replace("TITLE", braced(escape(title)))
    return recorded(screen, theme).export_html(theme=theme.colours, code_format=template)


def notebook(screen: RenderableType) -> str:
    """Return the screen as the output of a notebook's cell: a `<pre>` of WIDTH columns on a ground of its own."""
    console = plain_console(file=io.StringIO(), width=WIDTH, record=True, legacy_windows=False)
    console.print(screen)
    ground = "color:{foreground};background-color:{background};padding:0.8em 1em;overflow-x:auto"
    code = f'<pre style="font-family:{MONOSPACE};line-height:1.2;{ground}">{{code}}</pre>'
    return console.export_html(theme=DARK.colours, inline_styles=True, code_format=code)


def braced(text: str) -> str:
    """Escape the text for a template of `str.format`."""
    return text.replace("{", "{{").replace("}", "}}")


PICTURES: Mapping[str, Callable[[RenderableType, str, Theme], str]] = {".svg": svg, ".html": html}
"""The function that draws a picture, by the ending of its file."""
