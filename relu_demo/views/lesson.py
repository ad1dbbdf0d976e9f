"""The lesson: a session's steps as one page to click through, or as one moving picture. Neither needs another file.

The page is for any browser: keys and buttons go on and back, `#step-7` opens a step, and in print all steps are below
each other. The picture is SVG with CSS alone, which moves where a README shows it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from string import Template

from rich.cells import set_cell_size
from rich.console import Group, RenderableType
from rich.segment import Segment, SegmentLines

from relu_demo.claims.report import SessionReport
from relu_demo.language import _, cells
from relu_demo.request import command_line
from relu_demo.views.pictures import DARK, LIGHT, Theme, recorded, spread, svg_of, widened
from relu_demo.views.step import StepScreen
from relu_demo.views.tables import MONOSPACE, plain_console

SLIDE_COLUMNS, SLIDE_LINES = 80, 27
"""Columns and lines of a step: the same for all, so that what stays the same stands still."""

SECONDS = 3
"""For which the moving picture shows a step."""

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

FILM = Template("""\
.screen { animation: film ${seconds}s steps($steps) infinite; }
@keyframes film { to { transform: translateY(-${all}px); } }
@media (prefers-reduced-motion: reduce) {
  .screen { animation: none; transform: translateY(-${still}px); }
}
""")
"""The rules that show one step of the moving picture after the other; where no motion is wanted, one step alone."""

LINE_HEIGHT = 24.4
"""Of rich's pictures, in pixels."""

STEP_END = "\N{SYMBOL FOR END OF TEXT}"
"""Stands behind each step in what is recorded for the page."""


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


def html_lesson(report: SessionReport, light: bool = False) -> str:
    """Return the lesson as a page, light or dark as the reader's system says; if it is `light`, always that."""
    shown = list(slides(report))
    screen = Group(*(SegmentLines([*map(list, slide.lines), [Segment(STEP_END)]], new_lines=True) for slide in shown))
    rules, texts = on_ground(LIGHT, screen)
    if not light:
        rules += f"\n@media (prefers-color-scheme: dark) {{\n{on_ground(DARK, screen)[0]}\n}}"
    sections = [
        f'<section id="step-{at}" aria-labelledby="title-{at}">\n'
        f'<h2 id="title-{at}"><span>{escape(slide.title)}</span> <span>{slide.far}</span></h2>\n'
        f"<pre>{text.strip()}</pre>\n</section>"
        for at, (slide, text) in enumerate(zip(shown, texts, strict=True), 1)
    ]
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


def on_ground(theme: Theme, screen: RenderableType) -> tuple[str, list[str]]:
    """Return the page's style sheet in a theme's colours, and the text of each step."""
    template = "body {{ color: {foreground}; background: {background}; }}\n{stylesheet}" + STEP_END + "{code}"
    page = recorded(screen, theme, width=SLIDE_COLUMNS).export_html(theme=theme.colours, code_format=template)
    rules, *texts = page.split(STEP_END)
    return rules, [widened(text) for text in texts[:-1]]


def svg_lesson(report: SessionReport, light: bool = False) -> str:
    """Return the lesson as a moving picture on a dark ground, or on white if it is `light`: a film of its steps.

    Where the reader's system asks for no motion it stands still at the first step that overwrites a tensor.
    """
    theme, shown = LIGHT if light else DARK, list(slides(report))
    film: list[list[Segment]] = []
    for slide in shown:
        title = set_cell_size(slide.title, SLIDE_COLUMNS - cells(slide.far))
        film += [[Segment(title + slide.far)], [], *map(list, slide.lines), []]
    high = len(film) / len(shown) * LINE_HEIGHT
    still = next((at for at, slide in enumerate(shown) if slide.overwrites), len(shown) - 1)
    rules = FILM.substitute(seconds=SECONDS * len(shown), steps=len(shown), all=high * len(shown), still=high * still)
    console = recorded(SegmentLines(film, new_lines=True), theme, spread, SLIDE_COLUMNS)
    return svg_of(console, "  ".join(title_and_command(report)), theme, f"{high:.1f}", rules)


def title_and_command(report: SessionReport) -> tuple[str, str]:
    """Return what the lesson is about, and the command that makes it."""
    return _(report.trace.session.title), f"{command_line(report.request)} --step"


LESSONS: Mapping[str, Callable[[SessionReport, bool], str]] = {".html": html_lesson, ".svg": svg_lesson}
"""What makes a lesson, by the ending of its file."""
