"""The screen of branches: each fault with its lines, its picture and what came out wrong, and a line for each cure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from relu_demo.claims.report import SessionReport, counted
from relu_demo.replay.trace import Look, Step, TracedPart
from relu_demo.views.claims import claims
from relu_demo.views.differences import differences, names, right
from relu_demo.views.fitting import fitting
from relu_demo.views.flow import flow
from relu_demo.views.parts import GAP, UNCHANGED, code, section

LEGEND = "* differs from the correct values; version: times overwritten; all: --repl"
"""Stands under the title."""

AGAIN = "before each part with backward()"
"""The comment on the lines with which several parts start."""


def against_reference(report: SessionReport, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield the preparation, the reference, the faults and cures in order, the claims and the conclusion."""
    trace = report.trace
    cures = {part.key for part in trace.session.parts if part.cure}
    references = {part.reference for part in trace.parts.values() if part.reference not in ("", part.key)}
    compared = [part for part in trace.parts.values() if part.reference in references]
    again = beginning(compared)
    yield Text(LEGEND, style="dim")
    for part in trace.parts.values():
        if not part.moments:
            made = [step for step in part.lines if not step.line.source.startswith("import ")]
            yield code_within(made, options.max_width)
        elif part.key in references:
            yield from section(part.title, code_within(doing(part.lines), options.max_width))
            if again:
                yield repeated(again, options.max_width)
    others = [part for part in trace.parts.values() if part.moments and part.key not in references]
    faulty = {step.line.source for part in others if part.key not in cures for step in part.lines}
    for cured, group in groupby(others, lambda part: part.key in cures and is_right(part)):
        if cured:
            yield from ("", cures_in_lines(list(group), faulty, options.max_width))
        else:
            for part in group:
                yield from fault(part, again, trace.session.pictured, console, options)
    yield from ("", *claims(report.claims, report.request.evidence, conclusion(compared, cures)))


def conclusion(compared: Sequence[TracedPart], cures: Collection[str]) -> str:
    """Say of each fault how it shows, and how many of the cures, whose keys these are, give the right numbers."""
    said = [f"{part.title.partition(':')[0]}: {outcome(part)}." for part in compared if part.key not in cures]
    cured = [is_right(part) for part in compared if part.key in cures]
    if cured:
        how_many = f"All {len(cured)}" if all(cured) else f"{sum(cured)} of {len(cured)}"
        said.append(f"{how_many} cures give the right numbers.")
    return " ".join(said)


def outcome(part: TracedPart) -> str:
    """Say how a fault shows."""
    if part.errors:
        return "PyTorch raises"
    wrong = sum(not right(look) for look in part.moments.values())
    return (
        f"{wrong} of {counted(len(part.moments), 'tensor')} wrong, and nothing is said" if wrong else "nothing differs"
    )


def fault(
    part: TracedPart, again: Sequence[Step], pictured: str, console: Console, options: ConsoleOptions
) -> Iterator[RenderableType]:
    """Yield a part's title, its lines, who reads and who writes the tensor `pictured`, and what came out wrong.

    The lines are those after the beginning `again`, without those that only look.
    """
    lines = doing(part.lines)
    starts = [step.line for step in lines[: len(again)]] == [step.line for step in again]
    yield from section(part.title, code_within(lines[len(again) if starts else 0 :], options.max_width))
    if (picture := flow(part, pictured, options.ascii_only)) is not None:
        yield picture
    looks = tuple(part.moments.values())
    if wrong := [look for look in looks if look.changed]:
        yield from fitting(console, options, differences(wrong))
    if same := [look for look in looks if right(look)]:
        yield said_right("correct", same)
    for look in looks:
        if look.changed is None:
            yield Text(f"{look.moment.title}: version {look.state.version:,}")


def code_within(steps: Sequence[Step], width: int) -> Text:
    """Return the lines that ran, without their comments where one of these would need more than `width` columns."""
    text = code(steps)
    longest = max(len(line) for line in text.plain.splitlines() if line.startswith(">>> ")) if steps else 0
    return text if longest <= width else code(steps, comments=False)


def repeated(steps: Sequence[Step], width: int) -> Text:
    """Return the lines with which several parts start, and say so beside them, or above them in a narrow terminal."""
    text = code([replace(step, line=replace(step.line, comment=AGAIN)) for step in steps])
    if max(map(len, text.plain.splitlines())) <= width:
        return text
    return Text.assemble((f"{AGAIN}:\n", "dim"), code(steps, comments=False))


def doing(steps: Sequence[Step]) -> list[Step]:
    """Return the steps that do more than look at a tensor."""
    return [step for step in steps if not step.line.moment]


def beginning(parts: Sequence[TracedPart]) -> list[Step]:
    """Return the steps before the first tensor is made, of the parts in which they are the same lines."""
    started = [list(before_tensors(part)) for part in parts]
    lines = [[step.line for step in steps] for steps in started]
    return max(started, key=lambda steps: (lines.count([step.line for step in steps]), len(steps)), default=[])


def before_tensors(part: TracedPart) -> Iterator[Step]:
    """Yield a part's steps up to the first that changes a tensor."""
    for step in part.lines:
        if step.changed_tensors:
            return
        yield step


def is_right(part: TracedPart) -> bool:
    """Return whether nothing was raised in a part and all its looks are right."""
    return not part.errors and all(map(right, part.moments.values()))


def said_right(word: str, looks: Sequence[Look]) -> Text:
    """Say of which looks nothing differs."""
    return Text(f"{word}: {names(looks)}", style=UNCHANGED)


def cures_in_lines(cured: Sequence[TracedPart], faulty: Collection[str], width: int) -> Text:
    """Return for each cure what it makes right, beside or below it, and its lines that are in no `faulty` part."""
    longest = max(len(part.title) for part in cured)
    made = [said_right("correct again", tuple(part.moments.values())) for part in cured]
    stacked = longest + len(GAP) + max(map(len, made)) > width
    lines = []
    for part, again in zip(cured, made, strict=True):
        gap = f"\n{GAP}" if stacked else " " * (longest - len(part.title)) + GAP
        own = [step for step in part.lines if step.line.source not in faulty and not step.line.moment]
        lines += [Text.assemble(part.title, gap, again), code_within(own, width)]
    return Text("\n").join(lines)
