"""The step view: the tensors as the last line left them, the lines that have run, and the line to come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import SessionReport, Verdict
from relu_demo.replay.trace import Step, Trace
from relu_demo.views.changes import changes
from relu_demo.views.claims import VERDICTS, claims
from relu_demo.views.fitting import first_fitting
from relu_demo.views.keys import BINDINGS, Action
from relu_demo.views.parts import COMMENTS, MARK, NARROW, code, header
from relu_demo.views.screen import write
from relu_demo.views.state import States, layouts, pictures, rows

BAR = "reverse"
"""The style of the first and the last line of the screen."""

HELP = "?: keys"
"""What the last line says of the key that lists all."""

SHORT = 16
"""Lines of the terminal below which the screen has no blank lines."""

TITLES = (
    ("id", "the object"),
    ("storage", "address of its memory"),
    ("version", "times overwritten"),
    ("grad_fn", "what backward() runs"),
    ("<0", "negative values"),
)
"""The titles of the table, and what they mean."""

SIGNS = (
    ("blue, orange", "negative, positive; deeper is larger"),
    (f"{MARK} and magenta", "just changed"),
)
"""How numbers and changes are shown, and what that means."""

SHARE = 3
"""The last line gets at least one in so many of the screen's lines if not all has room."""

Lines = list[list[Segment]]
Render = Callable[[RenderableType], Lines]
"""Renders into lines of the screen's width."""


@dataclass(frozen=True)
class StepScreen:
    """The screen after the first `at` lines of a report's session, as high as `options.height`.

    More lines may have run. One beyond the last line it shows the findings, which are empty until all lines have run.
    `running` says that the next step is being run, `listing` that the keys are listed.
    """

    report: SessionReport
    at: int = 0
    running: bool = False
    listing: bool = False

    @property
    def trace(self) -> Trace:
        """What has been recorded."""
        return self.report.trace

    @property
    def lines(self) -> int:
        """The number of lines of the session."""
        return len(self.trace.session.lines)

    @property
    def ran(self) -> int:
        """The number of lines that have run."""
        return len(self.trace.lines)

    @property
    def verdicts(self) -> bool:
        """Whether this is the screen after the last line: the claims."""
        return self.at > self.lines

    @property
    def stops(self) -> list[int]:
        """After how many lines each step ends. The last stop, one beyond the last line, is that of the claims."""
        return [*accumulate(map(len, self.trace.session.steps)), self.lines + 1]

    @property
    def part_ends(self) -> list[int]:
        """After how many lines each part ends, and the stop of the claims."""
        return [*accumulate(len(part.lines) for part in self.trace.session.parts), self.lines + 1]

    def after(self, action: Action) -> int:
        """Return after how many lines an action leaves the screen. There is nothing to see before the first step."""
        if action is Action.BACK:
            return max((stop for stop in self.stops if stop < self.at), default=self.at)
        ends = self.part_ends if action is Action.PART else self.stops
        return min((stop for stop in ends if stop > self.at), default=self.at)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or options.max_height

        def render(renderable: RenderableType) -> Lines:
            return console.render_lines(renderable, options.update(height=None), pad=False)

        head, coming = render(self.title(width)), render(self.coming(width))[: max(1, height - 3)]
        foot = [*coming, *render(self.keys(width))]
        blank: Lines = [[]] if height >= SHORT else []
        room = max(0, height - len(head) - len(blank) - len(foot))
        if self.listing:
            shown = render(Group(*key_list()))[:room]
        elif self.verdicts:
            shown = self.findings_in(room, render)
        else:
            shown = self.state_and_story(width, room, blank, render)
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
        """Return what the next key runs, or shows again, without a prompt, for it has not run."""
        if self.verdicts or self.listing:
            return Text("")
        if self.at == self.lines:
            return Text("That was the last line. Next: the claims.", style="bold")
        lines = self.trace.session.steps[len([stop for stop in self.stops if stop <= self.at])]
        label = "running: " if self.running else "then: " if self.at < self.ran else "next: "
        if len(lines) > 1:
            return Text.assemble(label, (lines[0].step, "bold"), (f"  ({len(lines)} lines)", "dim italic"))
        text = Text.assemble(label, (lines[0].source, "bold"))
        if comment := lines[0].comment:
            gap = "  " if text.cell_len + len(comment) + 4 <= width else "\n"
            text.append(f"{gap}# {comment}", style="dim italic")
        return text

    def keys(self, width: int) -> Text:
        """Return the bar at the bottom: what the keys do."""
        if self.running:
            return status_line("...", "", width)
        if self.listing:
            return status_line("any key: back to the session", "", width)
        if self.verdicts:
            keys = "b: back  q: end" if width < NARROW else "b: look back   q or any other key: end"
            return status_line(keys, "", width)
        on = "go on" if self.at < self.ran or self.at == self.lines else "run"
        back = self.at > self.stops[0]
        marked = f"{MARK} just changed"
        short = f"Space: {on}{'  b: back' if back else ''}  q: end"
        long = f"Space or Enter: {on}{'   b: look back' if back else ''}   q: end   {HELP}"
        forms = ((long, marked), (f"{short}  {HELP}", marked), (short, HELP), (short, ""))
        left, right = first_fitting(forms, lambda form: sum(map(len, form)) + 3 <= width)
        return status_line(left, right, width)

    def state_and_story(self, width: int, room: int, blank: Lines, render: Render) -> Lines:
        """Render what the last step changed, the tensors, and below them the part's lines so far.

        A line that printed is there only while it is the last one: its output would be an old state.
        """
        if not self.at:
            return render(Text("Nothing has run yet.", style="dim"))[:room]
        start = max((stop for stop in self.stops if stop < self.at), default=0)
        ran = self.trace.lines[: self.at]
        step, earlier = self.as_one(ran[start:], ran[start - 1].tensors if start else {})
        alone = self.at - start == 1
        last = render(with_output(step, width) if alone else without_prompts(ran[start:], width))
        reserved = min(len(last), max(1, room // (SHARE if alone else 2)))
        said = render(Text("\n".join(changes(step, earlier)), style="bold" if step.changed_tensors else ""))
        said = said[: max(1, room // SHARE)]
        most = room - len(said) - reserved - 2 * len(blank)
        drawn = map(render, layouts(rows(step, earlier), width))
        state = [*said, *blank, *first_fitting(drawn, lambda lines: len(lines) <= most)[: max(most, 0)]]
        spare = room - reserved - len(state) - 2 * len(blank)
        for more in map(render, pictures(step, earlier, width, spare) if alone else [legend()]):
            if len(more) <= spare:
                state += [*blank, *more]
                spare -= len(blank) + len(more)
        left = max(0, room - len(state) - len(blank))
        part = max((end for end in self.part_ends if end < self.at), default=0)
        before = [with_output(each, width) for each in ran[part:start] if not (each.output or each.line.step)]
        story = [*render(Group(*before)), *last][-left:] if left else []
        if len(last) > left > 0:
            story = [*last[: left - 1], *render(Text(f"... {more_lines(len(last) - left + 1)}", style="dim"))][:left]
        return [*state, *blank, *[[]] * (left - len(story)), *story][:room]

    def as_one(self, ran: Sequence[Step], earlier: States) -> tuple[Step, States]:
        """Return the lines of a step as one, and the tensors before it. Leave out what a learner need not see.

        That is a session's helpers, and the tensors of a layer (a name with a dot) that the step left alone.
        """
        gone = earlier.keys() - ran[-1].tensors.keys()
        touched = gone.union(*(each.changed_tensors for each in ran))

        def seen(tensors: States) -> States:
            helpers = self.trace.session.helpers
            return {
                name: state
                for name, state in tensors.items()
                if name not in helpers and ("." not in name or name in touched)
            }

        tensors = seen(ran[-1].tensors)
        output = ran[-1].output if len(ran) == 1 else ""
        changed = {name: state for name, state in tensors.items() if name in touched}
        return replace(ran[-1], output=output, tensors=tensors, changed_tensors=changed), seen(earlier)

    def findings_in(self, room: int, render: Render) -> Lines:
        """Render the verdicts with their evidence, or a line each if that has no room, those that fail first."""
        lines = []
        for finding in sorted(self.report.claims, key=lambda finding: finding.verdict is not Verdict.FAILS):
            verdict = (finding.verdict.value, VERDICTS[finding.verdict])
            lines.append(Text.assemble(f"{finding.number:2}  ", verdict, f"  {finding.says}"))
        short = Text("\n", no_wrap=True, overflow="crop").join(lines)
        forms: list[RenderableType] = [Group(*claims(self.report.claims)), short]
        return first_fitting(map(render, forms), lambda rendered: len(rendered) <= room)[:room]


def with_output(step: Step, width: int) -> Text:
    """Return a line that ran, with what it printed."""
    quiet = replace(step, error=None, output="")  # the output has its message, and follows
    line = code([quiet])
    if line.cell_len > width:
        line = code([quiet], comments=False)
    return Text("\n").join([line, Text(step.output.rstrip("\n"))]) if step.output else line


def without_prompts(ran: Sequence[Step], width: int) -> Text:
    """Return the lines of one step, without prompts, since what they printed is left out."""
    lines = [Text(step.line.source) for step in ran]
    for text, step in zip(lines, ran, strict=True):
        if step.line.comment and COMMENTS + len(step.line.comment) + 4 <= width:
            text.append(" " * (COMMENTS - len(step.line.source)) + f"  # {step.line.comment}", style="dim italic")
    return Text("\n").join(lines)


def legend() -> Text:
    """Return what the titles of the table mean, in as few words as do."""
    return Text("; ".join(f"{word}: {means}" for word, means in TITLES), style="dim")


def key_list() -> Iterator[RenderableType]:
    """Yield the keys, what each does, and what the words of the table mean."""
    for titled in (
        [(", ".join(binding.keys), binding.action.value) for binding in BINDINGS],
        (*TITLES, *SIGNS),
    ):
        table = Table.grid(padding=(0, 2, 0, 0))
        for keys, does in titled:
            table.add_row(Text(keys, style="bold"), does)
        yield from ("", table)


def more_lines(count: int) -> str:
    """Return a number of lines in words."""
    return f"{count} more line{'' if count == 1 else 's'}"


def status_line(left: str, right: str, width: int) -> Text:
    """Return a line from edge to edge with words at both ends."""
    room = width - len(right) - 3
    return Text(f" {left[: max(room, 0)].ljust(room)} {right} "[:width].ljust(width), style=BAR)


def write_end(report: SessionReport, out: TextIO) -> None:
    """Write what stays on the terminal after stepping: how to see it again, and the verdicts if all lines ran."""
    session, screen = report.trace.session, StepScreen(report)
    if screen.ran < screen.lines:
        end: Sequence[RenderableType] = [Text(f"Ended after {screen.ran} of {screen.lines} lines.")]
    else:
        end = ["", *claims(report.claims)]
    write(Group(*header(session.title, report, " --step"), *end), out)
