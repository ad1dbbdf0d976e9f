"""The lesson: a session's steps as one page to click through, or as one moving picture. Neither needs another file.

The page is for any browser: keys and buttons go on and back, `#step-7` opens a step, and in print all steps are below
each other. The picture is SVG with CSS alone, which moves where a README shows it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from string import Template

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style

from relu_demo.claims.report import SessionReport
from relu_demo.language import _, cells
from relu_demo.request import command_line
from relu_demo.views.pictures import DARK, LIGHT, Theme, widened
from relu_demo.views.step import StepScreen
from relu_demo.views.tables import MONOSPACE, plain_console

SLIDE_COLUMNS, SLIDE_LINES = 80, 27
"""Columns and lines of a step: the same for all, so that what stays the same stands still."""

SECONDS = 3
"""For which the moving picture shows a step."""

CELL_WIDTH, LINE_HEIGHT, MARGIN = 8.4, 18, 16
"""Of the moving picture, in pixels."""

PAGE = Template("""\
<!DOCTYPE html>
<html lang="$lang">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
$rules
body { max-width: 82ch; margin: 1.5em auto; padding: 0 1em; font: 14px/1.35 $font; }
h1, h2 { font: inherit; font-weight: bold; margin: 0 0 0.5em; }
h1 { white-space: nowrap; overflow-x: auto; }
h2 { display: flex; justify-content: space-between; gap: 2em; }
pre { font: inherit; margin: 0 0 1em; overflow-x: auto; }
nav { display: flex; gap: 1em; align-items: center; }
button { font: inherit; padding: 0.4em 1em; }
html:not(.clicking) nav { display: none; }
@media print {
  nav { display: none; }
  section, section[hidden] { display: block; break-inside: avoid; }
  * { print-color-adjust: exact; }
}
</style>
</head>
<body>
<h1>$title<br>$command</h1>
<main aria-live="polite">
$sections
</main>
<nav aria-label="$steps">
<button id="back">$back</button>
<button id="on">$next</button>
<span>$keys</span>
</nav>
<script>
const steps = [...document.querySelectorAll("section")];
const [back, on] = [document.getElementById("back"), document.getElementById("on")];
const keys = {ArrowRight: 1, PageDown: 1, Enter: 1, " ": 1, n: 1, ArrowLeft: -1, PageUp: -1, Backspace: -1, b: -1};
function at() {
  const step = Number(location.hash.slice("#step-".length));
  return steps[step - 1] ? step : 1;
}
function show() {
  steps.forEach((section, index) => { section.hidden = index + 1 !== at(); });
  back.disabled = at() === 1;
  on.disabled = at() === steps.length;
}
function go(by) {
  if (steps[at() + by - 1]) location.hash = "step-" + (at() + by);
}
back.addEventListener("click", () => go(-1));
on.addEventListener("click", () => go(1));
addEventListener("hashchange", show);
addEventListener("keydown", (event) => {
  const pressed = event.target.tagName === "BUTTON" && [" ", "Enter"].includes(event.key);
  if (event.ctrlKey || event.altKey || event.metaKey || pressed || !keys[event.key]) return;
  event.preventDefault();
  go(keys[event.key]);
});
document.documentElement.classList.add("clicking");
show();
</script>
</body>
</html>
""")

PICTURE = Template("""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $wide $high" role="img" aria-label="$title">
<style>
text { font: 14px $font; white-space: pre; }
$rules
.step { visibility: hidden; animation: show ${all}s step-end infinite; }
@keyframes show { 0% { visibility: visible; } $share% { visibility: hidden; } }
@media (prefers-reduced-motion: reduce) {
  .step { animation: none; }
  .still { visibility: visible; }
}
</style>
<rect width="100%" height="100%" class="ground"/>
$steps
</svg>
""")


@dataclass(frozen=True)
class Slide:
    """A step of the lesson. `overwrites` says that it overwrote a tensor that was there before."""

    title: str
    far: str
    lines: Sequence[Sequence[Segment]]
    overwrites: bool


def slides(report: SessionReport) -> Iterator[Slide]:
    """Yield the steps of a report's session, in order."""
    console = plain_console(file=io.StringIO(), width=SLIDE_COLUMNS, force_terminal=True, color_system="truecolor")
    count = len(StepScreen(report).steps)
    for at in range(1, count + 1):
        screen = StepScreen(report, at)
        part, ran, earlier = screen.so_far()
        lines = screen.body(SLIDE_COLUMNS, SLIDE_LINES, [[]], lambda shown: console.render_lines(shown, pad=False))
        overwrites = any(
            name in earlier and earlier[name].id == state.id and earlier[name].version != state.version
            for name, state in ran[-1].tensors.items()
        )
        far = _("step {at} of {all}", at=at, all=count)
        yield Slide(_(part.title), far, [*lines, *[[]] * (SLIDE_LINES - len(lines))], overwrites)


class Classes:
    """The style sheet's classes, one for each style that is used."""

    def __init__(self) -> None:
        self._names: dict[Style, str] = {}

    def of(self, style: Style | None) -> str:
        """Return the class of a style; empty for plain text."""
        return self._names.setdefault(style, f"r{len(self._names) + 1}") if style else ""

    def rules(self, theme: Theme, rule: Callable[[str, Style, Theme], str]) -> str:
        """Return the style sheet in a theme's colours."""
        return "\n".join(rule(name, theme.restyled(style), theme) for style, name in self._names.items())


def html_lesson(report: SessionReport, light: bool = False) -> str:
    """Return the lesson as a page, light or dark as the reader's system says; if it is `light`, always that."""
    classes, sections = Classes(), []
    for at, slide in enumerate(slides(report), 1):
        text = widened("\n".join("".join(spans(line, classes)) for line in slide.lines))
        sections.append(
            f'<section id="step-{at}" aria-labelledby="title-{at}">\n'
            f'<h2 id="title-{at}"><span>{escape(slide.title)}</span> <span>{slide.far}</span></h2>\n'
            f"<pre>{text}</pre>\n</section>"
        )
    rules = sheet(classes, LIGHT)
    if not light:
        rules += f"\n@media (prefers-color-scheme: dark) {{\n{sheet(classes, DARK)}\n}}"
    title, command = map(escape, title_and_command(report))
    return PAGE.substitute(
        lang=_("en"),
        title=title,
        command=command,
        rules=rules,
        sections="\n".join(sections),
        font=MONOSPACE,
        steps=_("Steps"),
        back=_("Back"),
        next=_("Next"),
        keys=_("Space or the right arrow goes on, the left arrow back."),
    )


def sheet(classes: Classes, theme: Theme) -> str:
    """Return the style sheet of the page in a theme's colours."""
    colours = theme.colours
    body = f"body {{ color: {colours.foreground_color.hex}; background: {colours.background_color.hex}; }}\n"
    return body + classes.rules(
        theme, lambda name, style, theme: f".{name} {{ {style.get_html_style(theme.colours)} }}"
    )


def spans(line: Sequence[Segment], classes: Classes) -> Iterator[str]:
    """Yield a line's text, each piece in its class."""
    for name, text in pieces(line, classes):
        yield f'<span class="{name}">{escape(text)}</span>' if name else escape(text)


def pieces(line: Sequence[Segment], classes: Classes) -> Iterator[tuple[str, str]]:
    """Yield the pieces of a line that have the same class, and that class."""
    for name, segments in groupby(line, lambda segment: classes.of(segment.style)):
        yield name, "".join(segment.text for segment in segments)


def svg_lesson(report: SessionReport, light: bool = False) -> str:
    """Return the lesson as a moving picture on a dark ground, or on white if it is `light`.

    Where the reader's system asks for no motion it stands still at the first step that overwrites a tensor.
    """
    theme, classes, shown = LIGHT if light else DARK, Classes(), list(slides(report))
    still = next((slide for slide in shown if slide.overwrites), shown[-1])
    steps = []
    for at, slide in enumerate(shown):
        kind = "step still" if slide is still else "step"
        steps += [f'<g class="{kind}" style="animation-delay: {at * SECONDS}s">', *drawn(slide, classes), "</g>"]
    colours = theme.colours
    rules = f".ground {{ fill: {colours.background_color.hex}; }}\n"
    rules += f"text {{ fill: {colours.foreground_color.hex}; }}\n"
    rules += classes.rules(theme, svg_rule)
    return PICTURE.substitute(
        title=escape("  ".join(title_and_command(report))),
        wide=round(SLIDE_COLUMNS * CELL_WIDTH + 2 * MARGIN),
        high=(SLIDE_LINES + 2) * LINE_HEIGHT + 2 * MARGIN,
        rules=rules,
        steps="\n".join(steps),
        font=MONOSPACE,
        all=SECONDS * len(shown),
        share=f"{100 / len(shown):.4f}",
    )


def svg_rule(name: str, style: Style, theme: Theme) -> str:
    """Return the rules of a style for text, and for the ground below it."""
    colour, ground = (each and each.get_truecolor(theme.colours).hex for each in (style.color, style.bgcolor))
    if style.reverse:
        colour = ground or theme.colours.background_color.hex
        ground = style.color.get_truecolor(theme.colours).hex if style.color else theme.colours.foreground_color.hex
    said = {"fill": colour, "font-weight": "bold" if style.bold else None, "opacity": "0.7" if style.dim else None}
    text = "; ".join(f"{key}: {value}" for key, value in said.items() if value)
    return f".{name} {{ {text} }}" + (f"\nrect.{name} {{ fill: {ground}; opacity: 1 }}" if ground else "")


def drawn(slide: Slide, classes: Classes) -> Iterator[str]:
    """Yield the text of a step's lines, each piece at its column and behind it its ground."""
    room = SLIDE_COLUMNS - cells(slide.far)
    yield text_at(0, 0, f"{set_cell_size(slide.title, room - 1)} {slide.far}", "")
    for row, line in enumerate(slide.lines, 2):
        column = 0
        for segment in Segment.simplify(line):
            name = classes.of(segment.style)
            wide = segment.cell_length
            if segment.style and (segment.style.bgcolor or segment.style.reverse):
                x, y = MARGIN + column * CELL_WIDTH, MARGIN + row * LINE_HEIGHT
                yield (
                    f'<rect class="{name}" x="{x:.1f}" y="{y:.1f}" width="{wide * CELL_WIDTH:.1f}" '
                    f'height="{LINE_HEIGHT}"/>'
                )
            if segment.text.strip():
                yield text_at(column, row, segment.text, name)
            column += wide


def text_at(column: int, row: int, text: str, name: str) -> str:
    """Return text at a column and row, as wide as its characters whatever the font."""
    x, y = MARGIN + column * CELL_WIDTH, MARGIN + (row + 0.75) * LINE_HEIGHT
    wide = Segment(text).cell_length * CELL_WIDTH
    named = f' class="{name}"' if name else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" textLength="{wide:.1f}" xml:space="preserve">{escape(text)}</text>'


def title_and_command(report: SessionReport) -> tuple[str, str]:
    """Return what the lesson is about, and the command that makes it."""
    return _(report.trace.session.title), f"{command_line(report.request)} --step"


LESSONS: Mapping[str, Callable[[SessionReport, bool], str]] = {".html": html_lesson, ".svg": svg_lesson}
"""What makes a lesson, by the ending of its file."""
