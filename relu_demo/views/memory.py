"""The screen of `--memory`: bytes in place beside bytes out of place, as figures and as bars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from relu_demo.memory.report import Figures, Measurement, MemoryReport
from relu_demo.request import command_line
from relu_demo.views.claims import claims
from relu_demo.views.parts import CHANGED, MARK, NARROW, header


@dataclass(frozen=True)
class MemoryScreen:
    """The whole screen: a block for each situation, how the chains grow, and the claim."""

    report: MemoryReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        report = self.report
        yield from header(
            "Bytes really allocated, in place and not", command_line(report.request), report.torch_version
        )
        unit, shape = report.rows[0].unit, report.request.shape
        yield Text(
            f"One unit is one activation: {shape} float32 on {report.request.device}, {unit:,} bytes", style="dim"
        )
        live, peak = ("#", "-") if options.ascii_only else ("█", "░")
        yield Text(f"live after the forward {live * 4}, and what more there is at the peak {peak * 4}", style="dim")
        yield ""
        most = max(max(row.in_place.peak, row.out_of_place.peak) for row in report.rows)
        narrow = options.max_width < NARROW
        digits = 0 if narrow else len(f"{most:,}") + 2
        yield Text(
            f"{'':14}{'live':>6}{'bytes'[:digits]:>{digits}}{'peak':>6}{'bytes'[:digits]:>{digits}}", style="dim"
        )
        room = options.max_width - 2 * (6 + digits) - 15
        for number, row in enumerate(report.rows):
            if number:
                yield ""
            saved = Text(saving(row), style=CHANGED if saves(row) else "")
            yield Text.assemble((row.situation.title, "bold"), ": ", saved)
            for name, figures, marks in (
                ("not in place", row.out_of_place, (False, False)),
                ("in place", row.in_place, changed(row)),
            ):
                told = figures_line(name, figures, row.unit, marks, digits)
                yield Text.assemble(told, bar(figures, most, room, live, peak))
            yield Padding(Text(row.why, style="dim"), (0, 0, 0, 2))
        yield ""
        yield from chains(report)
        yield from ("", *claims(report.findings))


def changed(row: Measurement) -> tuple[bool, bool]:
    """Whether live bytes and peak are other in place."""
    return row.in_place.live != row.out_of_place.live, row.in_place.peak != row.out_of_place.peak


def saves(row: Measurement) -> bool:
    """Whether in place takes less, after the forward or at the peak."""
    return row.in_place.live < row.out_of_place.live or row.in_place.peak < row.out_of_place.peak


def saving(row: Measurement) -> str:
    """What in place saves, in units and words."""
    told = [
        f"{(there - here) / row.unit:.1f} of {there / row.unit:.1f} {when}"
        for when, here, there in (
            ("live", row.in_place.live, row.out_of_place.live),
            ("at the peak", row.in_place.peak, row.out_of_place.peak),
        )
        if here < there
    ]
    return f"saves {' and '.join(told)}" if told else "saves nothing"


def figures_line(name: str, figures: Figures, unit: int, marks: tuple[bool, bool], digits: int) -> Text:
    """A way of running with its live and peak bytes, in units and in `digits` of bytes; what is other is marked."""
    line = Text(f"  {name:12}")
    for size, marked in ((figures.live, marks[0]), (figures.peak, marks[1])):
        text = f"{MARK if marked else ' '}{size / unit:.1f}"
        line.append(f"{text:>6}", style=CHANGED if marked else "")
        line.append(f"{size:{digits},}" if digits else "", style="dim")
    return line.append(" ")


def bar(figures: Figures, most: int, room: int, live: str, peak: str) -> Text:
    """Live bytes as a bar, and what more there is at the peak."""
    solid = round(figures.live / most * room)
    return Text.assemble((live * solid, "cyan"), (peak * (round(figures.peak / most * room) - solid), "cyan"))


def chains(report: MemoryReport) -> Iterator[RenderableType]:
    """The ReLU chains at each depth, in units: not in place, and in place where that is other."""
    yield Text("Chains of K blocks, in units; where in place differs it is marked", style="bold")
    yield Columns([chain(report, title) for title in dict.fromkeys(row.situation.title for row in report.growth)])


def chain(report: MemoryReport, title: str) -> Table:
    """The chain of that title at each depth."""
    table = Table("K", "live", "peak", box=None, padding=(0, 2, 0, 0), title_justify="left", header_style="dim")
    table.title = title.replace("+ReLU", "\n+ReLU")  # two lines, so that four of these stand in 80 columns
    for row in report.growth:
        if row.situation.title == title:
            live = pair(row.out_of_place.live, row.in_place.live, row.unit)
            peak = pair(row.out_of_place.peak, row.in_place.peak, row.unit)
            table.add_row(f"{row.situation.depth:2}", live, peak)
    return table


def pair(there: int, here: int, unit: int) -> Text:
    """Units out of place, and in place where that is other by more than a tenth."""
    first, second = f"{there / unit:.1f}", f"{here / unit:.1f}"
    return Text(f"{first:>4}") if first == second else Text(f"{first:>4} {MARK}{second}", style=CHANGED)
