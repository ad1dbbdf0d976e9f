"""The step view: the tensors as the last line left them, the lines that have run, and the line to come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from relu_demo.claims.report import Finding, SessionReport, Verdict
from relu_demo.replay.trace import Step, Trace
from relu_demo.views.claims import VERDICTS, claims
from relu_demo.views.fitting import first_fitting
from relu_demo.views.parts import MARK, NARROW, code, header
from relu_demo.views.screen import write
from relu_demo.views.state import States, layouts, pictures, rows

BAR = "reverse"
"""The style of the first and the last line of the screen."""

SHORT = 16
"""Lines of the terminal below which the screen has no blank lines."""

SHARE = 3
"""The last line gets at least one in so many of the screen's lines if not all has room."""

Lines = list[list[Segment]]
Render = Callable[[RenderableType], Lines]
"""Renders into lines of the screen's width."""


@dataclass(frozen=True)
class StepScreen:
    """The screen after the first `at` lines of a trace, as high as `options.height`; more lines may have run.

    One beyond the last line it shows `findings`, which are empty until all lines have run. `running` says that the
    next line is being run.
    """

    trace: Trace
    at: int = 0
    findings: tuple[Finding, ...] = ()
    running: bool = False

    @property
    def lines(self) -> int:
        """The number of lines of the session."""
        return len(self.trace.session.lines)

    @property
    def ran(self) -> int:
        """The number of lines that have run."""
        return len(self.trace.steps)

    @property
    def verdicts(self) -> bool:
        """Whether this is the screen after the last line: the claims."""
        return self.at > self.lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or options.max_height

        def render(renderable: RenderableType) -> Lines:
            return console.render_lines(renderable, options.update(height=None), pad=False)

        head, coming = render(self.title(width)), render(self.coming(width))[: max(1, height - 3)]
        foot = [*coming, *render(self.keys(width))]
        blank: Lines = [[]] if height >= SHORT else []
        room = max(0, height - len(head) - len(blank) - len(foot))
        shown = self.findings_in(room, render) if self.verdicts else self.state_and_story(width, room, blank, render)
        lines = [*head, *shown, *[[]] * (room - len(shown)), *blank, *foot]
        for number, line in enumerate(lines[-height:]):
            if number:
                yield Segment.line()
            yield from line

    def title(self, width: int) -> Text:
        """Return the bar at the top: what is replayed, and how far it is."""
        session = self.trace.session
        part = [part for part in session.parts for _ in part.lines][min(max(self.at - 1, 0), self.lines - 1)]
        far = f"{self.at} of {self.lines}"
        if self.verdicts:
            return status_line(session.title, f"all {self.lines} lines have run", width)
        if self.at < self.ran:
            return status_line(f"Looking back: {part.title}", f"line {far}, {self.ran} have run", width)
        right = f"{far} lines have run" if width >= NARROW else far
        both = f"{session.title}: {part.title}"
        return status_line(both if len(both) + len(right) + 3 <= width else part.title, right, width)

    def coming(self, width: int) -> Text:
        """Return the line that the next key runs, or shows again, without a prompt, for it has not run."""
        if self.verdicts:
            return Text("")
        if self.at == self.lines:
            return Text("That was the last line. Next: the claims.", style="bold")
        line = self.trace.session.lines[self.at]
        label = "running: " if self.running else "then: " if self.at < self.ran else "next: "
        text = Text.assemble(label, (line.source, "bold"))
        if line.comment:
            gap = "  " if text.cell_len + len(line.comment) + 4 <= width else "\n"
            text.append(f"{gap}# {line.comment}", style="dim italic")
        return text

    def keys(self, width: int) -> Text:
        """Return the bar at the bottom: what the keys do."""
        if self.running:
            return status_line("...", "", width)
        if self.verdicts:
            keys = "b: back  q: end" if width < NARROW else "b: look back   q or any other key: end"
            return status_line(keys, "", width)
        on = "go on" if self.at < self.ran or self.at == self.lines else "run"
        if width < NARROW:
            return status_line(f"Space: {on}{'  b: back' if self.at else ''}  q: end", "", width)
        keys = f"Space or Enter: {on}{'   b: look back' if self.at else ''}   q: end"
        return status_line(keys, f"{MARK} just changed", width)

    def state_and_story(self, width: int, room: int, blank: Lines, render: Render) -> Lines:
        """Render the tensors with what the last line changed, and below them the lines that have run."""
        if not self.at:
            return render(Text("Nothing has run yet.", style="dim"))[:room]
        steps = self.trace.steps[: self.at]
        earlier: States = steps[-2].tensors if len(steps) > 1 else {}
        last = render(with_output(steps[-1], width))
        reserved = min(len(last), max(1, room // SHARE))
        most = room - reserved - len(blank)
        drawn = map(render, layouts(rows(steps[-1], earlier), width))
        state = first_fitting(drawn, lambda lines: len(lines) <= most)[: max(most, 0)]
        spare = room - reserved - len(state) - 2 * len(blank)
        for picture in map(render, pictures(steps[-1], earlier, width, spare)):
            if len(picture) <= spare:
                state += [*blank, *picture]
                spare -= len(blank) + len(picture)
        left = max(0, room - len(state) - len(blank))
        story = render(Group(*(with_output(step, width) for step in steps)))[-left:] if left else []
        if len(last) > left > 0:
            story = [*last[: left - 1], *render(Text(f"... {len(last) - left + 1} more lines", style="dim"))][:left]
        return [*state, *blank, *[[]] * (left - len(story)), *story][:room]

    def findings_in(self, room: int, render: Render) -> Lines:
        """Render the verdicts with their evidence, or a line each if that has no room, those that fail first."""
        lines = []
        for finding in sorted(self.findings, key=lambda finding: finding.verdict is not Verdict.FAILS):
            verdict = (finding.verdict.value, VERDICTS[finding.verdict])
            lines.append(Text.assemble(f"{finding.number:2}  ", verdict, f"  {finding.says}"))
        short = Text("\n", no_wrap=True, overflow="crop").join(lines)
        forms: list[RenderableType] = [Group(*claims(self.findings)), short]
        return first_fitting(map(render, forms), lambda rendered: len(rendered) <= room)[:room]


def with_output(step: Step, width: int) -> Text:
    """Return a line that ran, with what it printed."""
    quiet = replace(step, error=None)  # its message is in the output
    line = code([quiet])
    if line.cell_len > width:
        line = code([quiet], comments=False)
    return Text("\n").join([line, Text(step.output.rstrip("\n"))]) if step.output else line


def status_line(left: str, right: str, width: int) -> Text:
    """Return a line from edge to edge with words at both ends."""
    room = width - len(right) - 3
    return Text(f" {left[: max(room, 0)].ljust(room)} {right} "[:width].ljust(width), style=BAR)


def show(report: SessionReport, out: TextIO) -> None:
    """Write what stays on the terminal after stepping: how to see it again, and the verdicts if all lines ran."""
    session, screen = report.trace.session, StepScreen(report.trace, findings=report.findings)
    if screen.ran < screen.lines:
        end: Sequence[RenderableType] = [Text(f"Ended after {screen.ran} of {screen.lines} lines.")]
    else:
        end = ["", *claims(report.findings)]
    write(Group(*header(session.title, report, " --step"), *end), out)
