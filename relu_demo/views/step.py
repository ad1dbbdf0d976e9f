"""The step view: what the last step changed, in words and tables, the lines that have run, and the line to come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TextIO

from rich.console import Console, ConsoleOptions, Group, OverflowMethod, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import SessionReport
from relu_demo.language import _, cells, plural
from relu_demo.replay.trace import Look, Step, Trace, TracedPart
from relu_demo.session.lines import Line
from relu_demo.views.changes import States, against_correct, changed_columns, changes
from relu_demo.views.columns import moments_of
from relu_demo.views.differences import Comparison, acting
from relu_demo.views.moments import Moments
from relu_demo.views.objects import objects_of
from relu_demo.views.parts import MARK, code_within, commented, header
from relu_demo.views.tables import write, write_tables

ROOMY = 16
"""Lines of the terminal from which on the screen has blank lines."""

LEAST_LINES = 6
"""Lines of a table that stand above the picture of the objects, or there is none."""

Rendered = list[list[Segment]]
Render = Callable[[RenderableType], Rendered]
"""Renders into lines of the screen's width."""


@dataclass(frozen=True)
class StepScreen:
    """The screen after the first `at` steps of a report's session, as high as `options.max_height`.

    More steps may have run. `running` says that the next one is being run.
    """

    report: SessionReport
    at: int = 0
    running: bool = False

    @property
    def trace(self) -> Trace:
        """What has been recorded."""
        return self.report.trace

    @property
    def steps(self) -> list[tuple[Line, ...]]:
        """The session's steps."""
        return self.trace.session.steps

    @property
    def ran(self) -> int:
        """The number of steps that have run."""
        return sum(end <= len(self.trace.lines) for end in self.ends)

    @property
    def ends(self) -> list[int]:
        """After how many lines each step ends."""
        return [*accumulate(map(len, self.steps))]

    @property
    def part_end(self) -> int:
        """After how many steps the part ends in which the next step is."""
        part_ends = {*accumulate(len(part.lines) for part in self.trace.session.parts)}
        return next((at for at, end in enumerate(self.ends, 1) if at > self.at and end in part_ends), self.at)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.max_height

        def render(renderable: RenderableType) -> Rendered:
            return console.render_lines(renderable, options.update(height=None), pad=False)

        overflow: OverflowMethod = "crop" if options.ascii_only else "ellipsis"
        head, keys = (render(bar(*words, overflow)) for words in (self.title(width), self.keys(width)))
        foot = [*render(self.coming(width))[: max(1, height - 3)], *keys]
        blank: Rendered = [[]] if height >= ROOMY else []
        room = max(0, height - len(head) - len(blank) - len(foot))
        shown = (
            self.body(width, room, blank, render) if self.at else render(Text(_("Nothing has run yet."), style="dim"))
        )
        for number, line in enumerate([*head, *shown[:room], *[[]] * (room - len(shown)), *blank, *foot][-height:]):
            if number:
                yield Segment.line()
            yield from line

    def title(self, width: int) -> tuple[str, str]:
        """Return what the bar at the top says: what is replayed, and how far it is."""
        session = self.trace.session
        part = _(self.so_far()[0].title)
        counts = {"at": self.at, "all": len(self.steps)}
        if self.at < self.ran:
            far = _("step {at} of {all}, {ran} have run", **counts, ran=self.ran)
            return _("Looking back: {part}", part=part), far
        far = _("step {at} of {all}", **counts)
        both = _("{session}: {part}", session=_(session.title), part=part)
        return both if cells(both) + cells(far) + 4 <= width else part, far

    def coming(self, width: int) -> Text:
        """Return what the next key runs, or shows again, without a prompt, for it has not run."""
        if self.at == len(self.steps):
            return Text(_("That was the last step. Next: all of it on one screen."), style="bold")
        label = _("running: ") if self.running else _("then: ") if self.at < self.ran else _("next: ")
        lines = self.steps[self.at]
        main = next((line for line in lines if not line.prepares), lines[0])
        if main.step:
            return Text.assemble(label, (_(main.step), "bold"), ("  " + _("({n} lines)", n=len(lines)), "dim italic"))
        text = Text.assemble(label, (commented(main.source), "bold"))
        if main.comment:
            comment = _(main.comment)
            gap = "  " if text.cell_len + cells(comment) + 4 <= width else "\n"
            text.append(f"{gap}# {comment}", style="dim italic")
        return text

    def keys(self, width: int) -> tuple[str, str]:
        """Return what the bar at the bottom says: what the keys do."""
        if self.running:
            return "...", ""
        on = _("go on") if self.at < self.ran else _("end") if self.at == len(self.steps) else _("run")
        long = _("Space or Enter: {on}   b: back   s: end of the part   q: end", on=on)
        short = _("Space: {on}  b: back  s: part  q: end", on=on)
        marked = _("{mark} changed", mark=MARK)
        return (long, marked) if cells(long) + cells(marked) + 4 <= width else (short, "")

    def so_far(self) -> tuple[TracedPart, Sequence[Step], States]:
        """Return the part of the last step as far as it has come, the step's lines, and the tensors before it."""
        end = self.ends[self.at - 1] if self.at else 0
        start = self.ends[self.at - 2] if self.at > 1 else 0
        empty = (TracedPart(part.key, part.title, (), {}) for part in self.trace.session.parts)
        parts = [*self.trace.parts.values()] or [*empty]
        starts = [0, *accumulate(len(part.lines) for part in parts)]
        part, first = next(pair for pair in zip(parts, starts, strict=False) if pair[1] + len(pair[0].lines) >= end)
        steps = part.lines[: end - first]
        keys = [step.line.moment.key for step in steps if step.line.moment]
        looks = {key: look for key, look in part.moments.items() if key in keys}
        earlier = self.trace.lines[start - 1].tensors if start else {}
        return replace(part, lines=steps, moments=looks), self.trace.lines[start:end], earlier

    def body(self, width: int, room: int, blank: Rendered, render: Render) -> Rendered:
        """Render what the last step changed in sentences and tables, and below them the part's lines so far."""
        part, ran, before = self.so_far()
        lines, step, earlier = acting(ran), *self.as_one(ran, before)
        keys = [each.line.moment.key for each in ran if each.line.moment]
        looks = [part.moments[key] for key in keys if key in part.moments]
        said = list(changes(step, earlier))
        if part.reference != part.key:
            said += against_correct(looks)
        sentences = render(Text("\n".join(said), style="bold" if step.changed_tensors else ""))
        last = cut(render(code_within(lines, width)), max(1, room // 2), render)
        source = " ".join(line.source for line in self.steps[self.at - 1] if not line.moment)
        tables = [table for table in map(render, self.tables(part, step, earlier, looks, source)) if table]
        picture = objects_of(source, step.tensors, earlier)
        objects = render(picture) if picture else []
        spare = room - len(last)
        if sum(map(len, (sentences, *tables, objects))) + (len(tables) + 2) * len(blank) > spare:
            blank = []
        if spare - len(objects) < len(sentences) + LEAST_LINES:
            objects = []
        spare -= len(objects) + 2 * len(blank)
        shown = cut([*sentences, *(line for table in tables for line in (*blank, *table))], spare, render)
        shown += [*blank, *objects] if objects else []
        left = max(0, room - len(shown) - len(blank))
        above = [replace(each, output="", error=None) for each in acting(part.lines)[: -len(lines)]]
        story = [*(render(code_within(above, width)) if above and blank else []), *last][-left:] if left else []
        return [*shown, *blank, *[[]] * (left - len(story)), *story]

    def tables(
        self, part: TracedPart, step: Step, earlier: States, looks: Sequence[Look], source: str
    ) -> Iterator[RenderableType]:
        """Yield what shows a step: wrong numbers beside the correct ones, what changed, and who reads what."""
        if looks and part.reference == part.key:
            yield Moments(moments_of(part), short=True)
            return
        reference = self.trace.parts[part.reference].moments if part.reference in self.trace.parts else {}
        pairs = [
            (reference[look.moment.key], look)
            for look in looks
            if look.changed and (look.state.name not in earlier or earlier[look.state.name].id != look.state.id)
        ]
        if pairs:
            yield Comparison(pairs)
        elif columns := changed_columns(step, earlier, source, [look.state.name for look in looks]):
            yield Moments(columns, short=True)

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
        error = next((each.error for each in ran if each.error), None)
        output = "".join(each.output for each in acting(ran))
        changed = {name: state for name, state in tensors.items() if name in touched}
        return replace(ran[-1], output=output, tensors=tensors, changed_tensors=changed, error=error), seen(earlier)


def cut(lines: Rendered, room: int, render: Render) -> Rendered:
    """Return the first lines, and how many more there are if not all have room."""
    if len(lines) <= room:
        return lines
    said = _(plural("... {n:,} more line", "... {n:,} more lines", len(lines) - room + 1))
    more = Text(said, style="dim", no_wrap=True, overflow="crop")
    return [*lines[: max(0, room - 1)], *render(more)]


def bar(left: str, right: str, overflow: OverflowMethod) -> Table:
    """Return a line from edge to edge with words at both ends."""
    table = Table(box=None, show_header=False, padding=(0, 1), expand=True)
    table.add_column(ratio=1, no_wrap=True, overflow=overflow)
    table.add_column(justify="right", no_wrap=True, overflow=overflow)
    table.add_row(left, right, style="reverse")
    return table


def write_end(report: SessionReport, out: TextIO) -> None:
    """Write what stays on the terminal after stepping: the whole screen if all lines ran, else how far it came."""
    screen = StepScreen(report)
    if screen.ran == len(screen.steps):
        write_tables(report, out)
    else:
        ended = _("Ended after {ran} of {all} steps.", ran=screen.ran, all=len(screen.steps))
        write(Group(*header(_(report.trace.session.title), report), ended), out)
