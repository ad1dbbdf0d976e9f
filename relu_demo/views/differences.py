"""The screens of faults: each with its lines and what came out wrong, and the cures; and the list of all pages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import SessionReport
from relu_demo.language import _, cells, listed, mark, plural
from relu_demo.replay.overwrites import clashes
from relu_demo.replay.trace import Look, Step, TracedPart
from relu_demo.request import page_line
from relu_demo.session.faults import RulesReport
from relu_demo.views.claims import titled_claims
from relu_demo.views.numbers import excerpt
from relu_demo.views.parts import (
    GAP,
    UNCHANGED,
    add_row,
    cell,
    code_within,
    laid_out,
    literal,
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
    """Yield the reference, the faults and cures in order, the claims and the conclusion."""
    trace = report.trace
    cures = {part.key for part in trace.session.parts if part.cure}
    yield Text(_(LEGEND), style="dim")
    yield from parts_in_order(report, console, options)
    compared = [part for part in trace.shown if part.moments and part.reference not in ("", part.key)]
    yield from ("", *titled_claims(report.claims, report.request.evidence, outcomes(compared, cures)))


def fault_and_cure(report: SessionReport, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield each part of a page with what came of it, then why, and where PyTorch's documentation has more."""
    yield from parts_in_order(report, console, options)
    yield from ("", *titled_claims(report.claims, report.request.evidence, title=mark("Why")))
    yield Text(report.documentation, style="dim")


def parts_in_order(report: SessionReport, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield each part's title, its lines, who saved and who overwrote a tensor, and what came out wrong or right.

    Of a cure that helps one of several parts, yield the lines that none of these has. The lines that prepare several
    parts stand once, behind the part that these are compared with.
    """
    cures = {part.key for part in report.trace.session.parts if part.cure}
    shown = report.trace.shown
    faults = [part for part in shown if part.reference not in ("", part.key) and part.key not in cures]
    faulty = {step.line.source for part in faults for step in part.lines}
    repeated = [step for step in faults[0].lines if step.line.prepares] if faults else []
    for part in shown:
        looks = tuple(part.moments.values())
        wrong, same = [look for look in looks if look.changed], [look for look in looks if is_equal(look)]
        lines = [step for step in acting(part.lines) if not step.line.source.startswith("import ")]
        lines = [step for step in lines if not step.line.prepares]
        if len(cures) > 1 and part.key in cures and not wrong:
            lines = [step for step in lines if step.line.source not in faulty]
        yield from section(_(part.title), code_within(lines, options.max_width))
        if repeated and part.key == faults[0].reference:
            again = [replace(step, line=replace(step.line, comment=REPEATED)) for step in repeated]
            yield code_within(again, options.max_width)
        if part in faults:
            yield from saved_and_overwritten(part)
        if wrong:
            yield from laid_out(console, options, differences(wrong))
        if same:
            yield said_correct(mark("right again: {names}") if part.key in cures else mark("correct: {names}"), same)


def outcomes(compared: Sequence[TracedPart], cures: Collection[str]) -> str:
    """Say of each fault how it shows, and how many of the cures, whose keys these are, give the right numbers."""
    said = [outcome(part) for part in compared if part.key not in cures]
    if cured := [is_right(part) for part in compared if part.key in cures]:
        right = plural(
            "{right} of {n:,} cure gives the right numbers.",
            "{right} of {n:,} cures give the right numbers.",
            len(cured),
            right=sum(cured),
        )
        said.append(_(right))
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
    if rows:
        yield table


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
        table = titled_table([title for both in titles for title in both], 0)
        add_row(table, "", [excerpt(each.state.summary, pair[0].state.summary) for pair in pairs for each in pair])
        return table


@dataclass(frozen=True)
class RulesScreen:
    """The name and the sentence of each fault, a line each where that fits."""

    report: RulesReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rules = self.report.rules
        title = plural(
            "The {n} fault that watch and check can name", "The {n} faults that watch and check can name", len(rules)
        )
        yield literal(_(title), style="bold")
        table = Table.grid(padding=(0, len(GAP), 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for page in rules:
            table.add_row(page.name, _(page.sentence))
        yield table
        yield literal(_("{line} replays one, with its cure.", line=page_line("NAME")), style="dim")
