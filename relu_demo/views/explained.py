"""The screens of `relu-demo explain`: a fault with its cure, and the list of all faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import SessionReport
from relu_demo.language import _, mark, plural
from relu_demo.request import page_line
from relu_demo.session.report import RulesReport
from relu_demo.views.claims import titled_claims
from relu_demo.views.differences import acting, differences, is_equal, said_correct, saved_and_overwritten
from relu_demo.views.parts import GAP, code_within, laid_out, literal, section


def fault_and_cure(report: SessionReport, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
    """Yield each part of a page with what came of it, then why, and where PyTorch's documentation has more."""
    cures = {part.key for part in report.trace.session.parts if part.cure}
    for part in report.trace.shown:
        ran = [step for step in acting(part.lines) if not step.line.source.startswith("import ")]
        yield from section(_(part.title), code_within(ran, options.max_width))
        if part.reference and part.key not in cures:
            yield from saved_and_overwritten(part)
        looks = [look for look in part.moments.values() if look.changed is not None]
        if wrong := [look for look in looks if not is_equal(look)]:
            yield from laid_out(console, options, differences(wrong))
        elif looks:
            yield said_correct(mark("right again: {names}"), looks)
    yield from ("", *titled_claims(report.claims, report.request.evidence, title=mark("Why")))
    yield Text(report.documentation, style="dim")


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
