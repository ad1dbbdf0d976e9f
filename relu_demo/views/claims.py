"""The claims on a screen: numbered from 1, each with its verdict; how many hold; and what became of the tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import JudgedClaim, SessionReport, Verdict
from relu_demo.language import _, mark
from relu_demo.replay.trace import Look, TensorState, TracedPart
from relu_demo.views.objects import objects_at_end
from relu_demo.views.one_line import claims_in_words
from relu_demo.views.parts import NARROW

VERDICTS = {Verdict.HOLDS: "green", Verdict.FAILS: "bold reverse red", Verdict.UNSHOWN: "bold yellow"}
"""The style of a verdict; its words carry it without."""


def titled_claims(
    findings: Sequence[JudgedClaim], evidence: bool = False, end: str = "", title: str = ""
) -> Iterator[RenderableType]:
    """Yield the claims under a title, then how many hold and the screen's `end`; nothing if there are none.

    The evidence of a claim that holds is shown only if `evidence` is asked for: the rest of the screen has it.
    """
    if findings:
        yield Text(_(title) or _("Claims"), style="bold")
        yield Claims(findings, evidence)
        said = [tally(findings)] if len(findings) > 1 else []
        yield Text(" ").join([*said, Text(end, style="bold")])


@dataclass(frozen=True)
class Claims:
    """The findings below each other, each verdict beside its claim, or above it in a narrow terminal.

    `folded` leaves out those that hold.
    """

    findings: Sequence[JudgedClaim]
    evidence: bool = False
    folded: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        above = options.max_width < NARROW
        table = Table.grid(padding=(0, 2, 0, 0))
        for _column in range(2 if above else 3):
            table.add_column(overflow="fold")
        for number, finding in enumerate(self.findings, 1):
            if self.folded and finding.verdict is Verdict.HOLDS:
                continue
            verdict = Text(_(finding.verdict.value), style=VERDICTS[finding.verdict])
            words = Text(_(finding.says))
            if finding.evidence and (self.evidence or finding.verdict is not Verdict.HOLDS):
                words.append(f"\n{_(finding.evidence)}", style="dim")
            table.add_row(f"{number}", *([Text.assemble(verdict, "\n", words)] if above else [verdict, words]))
        yield table


def tally(findings: Sequence[JudgedClaim]) -> Text:
    """Say how many claims hold, in the style of the worst verdict."""
    said, found = claims_in_words(findings), {finding.verdict for finding in findings}
    worst = max(found, key=list(Verdict).index)
    sentence = _("{clause}.", clause=said[:1].upper() + said[1:])
    return Text(sentence, style=f"bold {VERDICTS[worst]}")


def endings(report: SessionReport) -> Iterator[RenderableType]:
    """Yield for each part with two looks or more its picture and a sentence, and behind all how many claims hold."""
    parts = [part for part in report.trace.shown if len(part.moments) > 1]
    verdict = [tally(report.claims)] if report.claims else []
    for part in parts:
        if picture := objects_at_end(part):
            yield picture
        yield Text(" ").join([Text(fate(part)), *(verdict if part is parts[-1] else [])])
    if not parts:
        yield from verdict


def fate(part: TracedPart) -> str:
    """Say what became of the tensor of a part's first look, and whether its last look is at another."""
    looks = tuple(part.moments.values())
    first, second, last = looks[0].state, looks[1], looks[-1].state
    became = became_of(part, first, second)
    if last.name == first.name:
        return _("{clause}.", clause=became)
    if last.id == second.state.id:
        return _("{clause}; {last} is {first} itself.", clause=became, last=last.name, first=first.name)
    if last.data_ptr == second.state.data_ptr:
        return _("{clause}; {last} is a view of it.", clause=became, last=last.name)
    return _("{clause}; {last} is a new tensor.", clause=became, last=last.name)


def became_of(part: TracedPart, first: TensorState, second: Look) -> str:
    """Say what became of the tensor of a part's first look, as its second one shows."""
    told = {"part": part.title, "name": first.name, "changed": second.changed, "all": first.summary.elements}
    if second.changed and second.changed == second.zeroed:
        if first.summary.elements == 1:
            return mark("{part}, {name}'s one number became 0", **told)
        return mark("{part}, {changed:,} of {name}'s {all:,} numbers became 0", **told)
    if second.changed:
        if first.summary.elements == 1:
            return mark("{part}, {name}'s one number changed", **told)
        return mark("{part}, {changed:,} of {name}'s {all:,} numbers changed", **told)
    if second.state.version == first.version:
        return mark("{part}, {name} is unchanged", **told)
    return mark("{part}, {name} was overwritten with the same numbers", **told)
