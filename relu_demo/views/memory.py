"""The screen of `--memory`: bytes allocated in place and out of place, as figures and as bars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from relu_demo.memory.report import Figures, Measurement, MemoryReport
from relu_demo.views.claims import claims
from relu_demo.views.parts import CHANGED, MARK, NARROW, header


@dataclass(frozen=True)
class MemoryScreen:
    """The whole screen: each situation, how the chains grow with their depth, and the claim."""

    report: MemoryReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        report = self.report
        yield from header("Bytes really allocated, in place and not", report)
        unit = f"{report.request.shape} float32 on {report.request.device}, {report.rows[0].unit:,} bytes"
        yield Text(f"One unit is one activation: {unit}", style="dim")
        live, peak = ("#", "-") if options.ascii_only else ("█", "░")
        yield Text(f"live after the forward {live * 4}, and what more there is at the peak {peak * 4}", style="dim")
        yield ""
        most = max(max(row.in_place.peak, row.out_of_place.peak) for row in report.rows)
        digits = 0 if options.max_width < NARROW else len(f"{most:,}") + 2
        bytes_title = f"{'bytes'[:digits]:>{digits}}"
        yield Text(f"{'':14}{'live':>6}{bytes_title}{'peak':>6}{bytes_title}", style="dim")
        room = options.max_width - 2 * (6 + digits) - 15
        for number, row in enumerate(report.rows):
            if number:
                yield ""
            words, style = (saving(row), CHANGED) if saving(row) else ("saves nothing", "")
            yield Text.assemble((row.situation.title, "bold"), ": ", (words, style))
            for name, figures in (("not in place", row.out_of_place), ("in place", row.in_place)):
                line = figures_line(name, figures, row.out_of_place, row.unit, digits)
                yield Text.assemble(line, bar(figures, most, room, live, peak))
            yield Padding(Text(row.why, style="dim"), (0, 0, 0, 2))
        yield ""
        yield from chains(report)
        yield from ("", *claims(report.findings))


def saving(row: Measurement) -> str:
    """Say in units what in place saves, after the forward and at the peak. Empty if it saves nothing."""
    words = [
        f"{(there - here) / row.unit:.1f} of {there / row.unit:.1f} {when}"
        for when, here, there in (
            ("live", row.in_place.live, row.out_of_place.live),
            ("at the peak", row.in_place.peak, row.out_of_place.peak),
        )
        if here < there
    ]
    return f"saves {' and '.join(words)}" if words else ""


def figures_line(name: str, figures: Figures, reference: Figures, unit: int, digits: int) -> Text:
    """Return live and peak in units, marked if they differ from the reference, and in bytes with so many digits."""
    line = Text(f"  {name:12}")
    for size, other in ((figures.live, reference.live), (figures.peak, reference.peak)):
        text = f"{MARK if size != other else ' '}{size / unit:.1f}"
        line.append(f"{text:>6}", style=CHANGED if size != other else "")
        line.append(f"{size:{digits},}" if digits else "", style="dim")
    return line.append(" ")


def bar(figures: Figures, most: int, room: int, live: str, peak: str) -> Text:
    """Draw live bytes as a bar, and the rest of the peak behind it. `most` bytes take `room` characters."""
    solid = round(figures.live / most * room)
    return Text.assemble((live * solid, "cyan"), (peak * (round(figures.peak / most * room) - solid), "cyan"))


def chains(report: MemoryReport) -> Iterator[RenderableType]:
    """Yield the ReLU chains at each depth, in units: not in place, and in place if that differs."""
    yield Text("Chains of K blocks, in units; where in place differs it is marked", style="bold")
    yield Columns([chain(report, title) for title in dict.fromkeys(row.situation.title for row in report.growth)])


def chain(report: MemoryReport, title: str) -> Table:
    """Return the chain of that title at each depth."""
    table = Table("K", "live", "peak", box=None, padding=(0, 2, 0, 0), title_justify="left", header_style="dim")
    table.title = title.replace("+ReLU", "\n+ReLU")  # two lines, so that four of these stand in 80 columns
    for row in report.growth:
        if row.situation.title == title:
            live = pair(row.out_of_place.live, row.in_place.live, row.unit)
            peak = pair(row.out_of_place.peak, row.in_place.peak, row.unit)
            table.add_row(f"{row.situation.depth:2}", live, peak)
    return table


def pair(there: int, here: int, unit: int) -> Text:
    """Return the units out of place, and in place if they differ when rounded to a tenth."""
    first, second = f"{there / unit:.1f}", f"{here / unit:.1f}"
    return Text(f"{first:>4}") if first == second else Text(f"{first:>4} {MARK}{second}", style=CHANGED)
