"""The screen of differences: each fault with its lines, its picture and what came out wrong, and the cures."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import SessionReport
from relu_demo.language import _, cells, listed, mark, plural
from relu_demo.replay.clashes import clashes
from relu_demo.replay.trace import Look, Step, TracedPart
from relu_demo.views.claims import titled_claims
from relu_demo.views.numbers import excerpt
from relu_demo.views.parts import (
    GAP,
    UNCHANGED,
    add_row,
    cell,
    code,
    code_within,
    laid_out,
    section,
    titled_table,
)
from relu_demo.views.watch_screen import LABEL_STYLES

LEGEND = mark("* differs from the correct values; version: times overwritten; all: --repl")
"""Stands under the title."""

REPEATED = mark("before each part with backward()")
"""The comment on the lines that prepare several parts."""

GRADIENT = ".grad"
"""How the title of a gradient ends."""


def against_reference(report: SessionReport, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield the preparation, the reference, the faults and cures in order, the claims and the conclusion.

    Of one part that is shown alone, yield that part and its claims.
    """
    trace = report.trace
    cures = {part.key for part in trace.session.parts if part.cure}
    references = {part.reference for part in trace.parts.values() if part.reference not in ("", part.key)}
    yield Text(_(LEGEND), style="dim")
    for part in trace.shown:
        if not part.moments:
            made = [step for step in part.lines if not step.line.source.startswith("import ")]
            yield code_within(made, options.max_width)
        elif part.key in references:
            yield from section(_(part.title), code_within(acting(part.lines), options.max_width))
            again = [[step for step in each.lines if step.line.prepares] for each in trace.shown]
            if repeated := next(filter(None, again), None):
                yield said_repeated(repeated, options.max_width)
    others = [part for part in trace.shown if part.moments and part.key not in references]
    faulty = {step.line.source for part in others if part.key not in cures for step in part.lines}
    for cured, group in groupby(others, lambda part: part.key in cures and is_right(part)):
        if cured:
            yield from ("", cures_in_lines(list(group), faulty, options.max_width))
        else:
            for part in group:
                yield from fault_section(part, console, options)
    compared = [part for part in others if part.reference in references]
    yield from ("", *titled_claims(report.claims, report.request.evidence, outcomes(compared, cures)))


def outcomes(compared: Sequence[TracedPart], cures: Collection[str]) -> str:
    """Say of each fault how it shows, and how many of the cures, whose keys these are, give the right numbers."""
    said = [outcome(part) for part in compared if part.key not in cures]
    cured = [is_right(part) for part in compared if part.key in cures]
    if cured == [True]:
        said.append(_("The cure gives the right numbers."))
    elif cured and all(cured):
        said.append(_("All {n} cures give the right numbers.", n=len(cured)))
    elif cured:
        said.append(
            _(
                plural(
                    "{right} of {n:,} cure give the right numbers.",
                    "{right} of {n:,} cures give the right numbers.",
                    len(cured),
                    right=sum(cured),
                )
            )
        )
    return " ".join(said)


def outcome(part: TracedPart) -> str:
    """Say how a fault shows, behind the words in front of the colon of its title."""
    case = _(part.title).partition(":")[0]
    if part.errors:
        return _("{case}: PyTorch raises.", case=case)
    wrong = sum(not is_equal(look) for look in part.moments.values())
    if not wrong:
        return _("{case}: nothing differs.", case=case)
    return _(
        plural(
            "{case}: {wrong} of {n:,} tensor wrong, and nothing is said.",
            "{case}: {wrong} of {n:,} tensors wrong, and nothing is said.",
            len(part.moments),
            case=case,
            wrong=wrong,
        )
    )


def fault_section(part: TracedPart, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield a part's title, its lines, who saved and who overwrote a tensor, and what came out wrong."""
    lines = [step for step in acting(part.lines) if not step.line.prepares]
    yield from section(_(part.title), code_within(lines, options.max_width))
    yield from saved_and_overwritten(part)
    looks = tuple(part.moments.values())
    if wrong := [look for look in looks if look.changed]:
        yield from laid_out(console, options, differences(wrong))
    if same := [look for look in looks if is_equal(look)]:
        yield said_correct(mark("correct: {names}"), same)
    for look in looks:
        if look.changed is None:
            name, version = look.moment.title, look.state.version
            yield Text(_("{name}: version {version:,}", name=name, version=version))


def saved_and_overwritten(part: TracedPart) -> Iterator[Table]:
    """Yield who saved a tensor and who overwrote it, labelled as a watch does, and whether PyTorch says nothing."""
    rows: list[tuple[str, str, str]] = []
    for clash in clashes(part):
        name, was, now = clash.saved.name, clash.saved.version, clash.overwritten.version
        saver, writer = (step.line.source.partition("\n")[0] for step in (clash.saver, clash.writer))
        at = mark("{name} is at version {now}")
        still = mark("{name} is at version {now} still, with other numbers")
        keeps = mark("{node} keeps {name}, version {was}")
        rows += [
            (mark("saved"), saver, _(keeps, node=clash.node, name=name, was=was)),
            (mark("overwritten"), writer, _(still if was == now else at, name=name, now=now)),
        ]
    if not any(step.error or step.warnings for step in part.lines):
        rows.append(("PyTorch", "", _("says nothing")))
    table = Table.grid(padding=(0, len(GAP), 0, 0))
    for label, source, words in dict.fromkeys(rows):
        told = Text.assemble((source, "bold"), GAP if source else "", words)
        table.add_row(Text(_(label), style=LABEL_STYLES[label]), told)
    yield from [table] * bool(rows)


def said_repeated(steps: Sequence[Step], width: int) -> Text:
    """Return the lines that prepare several parts, and say so beside them, or above them in a narrow terminal."""
    text = code([replace(step, line=replace(step.line, comment=REPEATED)) for step in steps])
    if max(map(cells, text.plain.splitlines())) <= width:
        return text
    return Text.assemble((_("{when}:", when=REPEATED) + "\n", "dim"), code(steps, comments=False))


def acting(steps: Sequence[Step]) -> list[Step]:
    """Return the steps that do more than look at a tensor."""
    return [step for step in steps if not step.line.moment]


def is_right(part: TracedPart) -> bool:
    """Return whether nothing was raised in a part and all its looks are right."""
    return not part.errors and all(map(is_equal, part.moments.values()))


def is_equal(look: Look) -> bool:
    """Return whether a look does not differ from its reference."""
    return look.changed == 0


def said_correct(words: str, looks: Sequence[Look]) -> Text:
    """Say of which looks nothing differs, in words with a place for `names`: `correct: h1, h2, both gradients`."""
    titles = [look.moment.title for look in looks]
    gradients = [title for title in titles if title.endswith(GRADIENT)]
    if len(gradients) == 2:
        titles = [*(title for title in titles if title not in gradients), mark("both gradients")]
    return Text(_(words, names=listed(titles)), style=UNCHANGED)


def cures_in_lines(cured: Sequence[TracedPart], faulty: Collection[str], width: int) -> Text:
    """Return for each cure what it makes right, beside or below it, and its lines that are in no `faulty` part."""
    titles = [_(part.title) for part in cured]
    longest = max(map(cells, titles))
    made = [said_correct(mark("correct again: {names}"), tuple(part.moments.values())) for part in cured]
    stacked = longest + len(GAP) + max(again.cell_len for again in made) > width
    lines = []
    for part, title, again in zip(cured, titles, made, strict=True):
        gap = f"\n{GAP}" if stacked else " " * (longest - cells(title)) + GAP
        own = [step for step in acting(part.lines) if step.line.source not in faulty]
        lines += [Text.assemble(title, gap, again), code_within(own, width)]
    return Text("\n").join(lines)


def differences(looks: Sequence[Look]) -> Iterator[list[Table]]:
    """Yield the tables to choose from: one with a row for each look, then one for each look.

    A row tells how far a look is from its reference: how many numbers differ, and the largest difference.
    """
    kinds = _("differ from correct"), _("by up to")
    rows = [
        (
            _(look.moment.title),
            cell(_("{n:,} of {all:,}", n=look.changed, all=look.state.summary.elements), True),
            cell(f"{look.largest:.4g}", True),
        )
        for look in looks
    ]
    table = Table.grid(padding=(0, len(GAP), 0, 0))
    table.add_row("", *(cell(kind, style="bold") for kind in kinds))
    cards = []
    for title, *figures in rows:
        table.add_row(Text(title, style="dim"), *figures)
        cards.append(titled_table([title], max(map(cells, kinds)) + 1))
        for kind, figure in zip(kinds, figures, strict=True):
            add_row(cards[-1], kind, [figure])
    yield [table]
    yield cards


@dataclass(frozen=True)
class Comparison:
    """The correct numbers beside the wrong ones, of pairs of looks."""

    pairs: Sequence[tuple[Look, Look]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from laid_out(console, options, ([self.table(self.pairs)], [self.table([pair]) for pair in self.pairs]))

    def table(self, pairs: Sequence[tuple[Look, Look]]) -> Table:
        """Return some of the pairs as a table."""
        names = [look.moment.title for _reference, look in pairs]
        titles = [[_("{name}, correct", name=name), _("{name}, wrong", name=name)] for name in names]
        table = titled_table([title for both in titles for title in both], 0, underlined=False)
        add_row(table, "", [excerpt(each.state.summary, pair[0].state.summary) for pair in pairs for each in pair])
        return table
