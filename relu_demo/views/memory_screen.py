"""The screen of `--memory`: what in place saves in training and why, then bytes as figures and as bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.text import Text

from relu_demo.claims.report import counted
from relu_demo.memory.report import Figures, Measurement, MemoryReport
from relu_demo.request import command_line
from relu_demo.views.claims import titled_claims
from relu_demo.views.parts import CHANGED, MARK, NARROW, versions

LESSON = "conv_relu_training"
"""The situation that is told first."""

WAYS = 14
"""Characters of the names of the two ways, with which a line of figures begins if there is no room for a title."""

LEAST_BAR = 8
"""Characters that a bar needs."""


@dataclass(frozen=True)
class MemoryScreen:
    """The whole screen: the situations in which in place saves, the others, the claim and the conclusion."""

    report: MemoryReport
    evidence: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        report = self.report
        rows = report.rows
        saves, others = [row for row in rows if row.saves], [row for row in rows if not row.saves]
        scale = Scale.of(rows, options)
        for row in rows:
            if row.situation.key == LESSON:
                yield Text(lesson(row), style="bold")
        yield Text.assemble(command_line(report.request), versions(report))
        yield Text(unit(report), style="dim")
        bars = f"{scale.live * 3} live after the forward, {scale.peak * 3} more at the peak"
        yield Text(f"{bars}; {MARK} differs in place", style="dim")
        for title, group in (("Saves memory", saves), ("Saves nothing", others)):
            if group:
                yield from ("", scale.titles(title))
            for row in group:
                yield from both(row, scale)
                yield Padding(Text(row.why, style="dim"), (0, 0, 0, 2))
        yield from ("", *titled_claims(report.claims, self.evidence, where_saved(saves, rows)))


def lesson(row: Measurement) -> str:
    """Say whether the commonest network saves memory in training, and why."""
    why = row.why if row.saves else row.why.partition(", not")[0]
    return f"In training, conv+ReLU {saving_in_words(row) if row.saves else 'saves nothing'}: {why}"


def unit(report: MemoryReport) -> str:
    """Say how many blocks each network has, and how large a unit is."""
    asked = report.request
    activation = f"one activation of {asked.shape} float32, {counted(report.rows[0].unit, 'byte')}"
    return f"{counted(asked.depth, 'block')} each; unit: {activation}"


def saving_in_words(row: Measurement) -> str:
    """Say in units what in place saves, after the forward and at the peak."""
    words = [
        f"{(there - here) / row.unit:.1f} of {there / row.unit:,.1f} {when}"
        for when, here, there in (
            ("live", row.in_place.live, row.out_of_place.live),
            ("at the peak", row.in_place.peak, row.out_of_place.peak),
        )
        if here < there
    ]
    return f"saves {' and '.join(words)}"


def where_saved(saves: Sequence[Measurement], rows: Sequence[Measurement]) -> str:
    """Say in how many situations in place saved memory, and where most in bytes."""
    text = f"Saved in {len(saves)} of {len(rows)} situations"
    if saves:
        most = max(saves, key=saved_bytes)
        text += f", most in {most.situation.title}: {saved_bytes(most):,} bytes"
    return f"{text}."


def saved_bytes(row: Measurement) -> int:
    """Return the bytes that in place saves, after the forward or at the peak, whichever is more."""
    return max(row.out_of_place.live - row.in_place.live, row.out_of_place.peak - row.in_place.peak)


@dataclass(frozen=True)
class Scale:
    """What the lines of figures share: `most` bytes take a bar of `room` characters; bytes take `digits` characters.

    The label in front of them takes `labels` characters: WAYS, if the titles do not fit beside the figures.
    """

    labels: int
    most: int
    room: int
    digits: int
    live: str
    peak: str

    @classmethod
    def of(cls, rows: Sequence[Measurement], options: ConsoleOptions) -> Scale:
        """Return the scale for these rows on that terminal. A narrow one has no room for bytes."""
        most = max(max(row.in_place.peak, row.out_of_place.peak) for row in rows)
        digits = 0 if options.max_width < NARROW else len(f"{most:,}") + 2
        live, peak = ("#", "-") if options.ascii_only else ("█", "░")
        room = options.max_width - 2 * (6 + digits) - 1
        titles = max(len(row.situation.title) for row in rows)
        labels = titles if titles + LEAST_BAR <= room else WAYS
        return cls(labels, most, room - labels, digits, live, peak)

    def titles(self, title: str) -> Text:
        """Return the title of the rows, and the titles of their columns."""
        in_bytes = f"{'bytes'[: self.digits]:>{self.digits}}"
        columns = f"{'live':>6}{in_bytes}{'peak':>6}{in_bytes}"
        return Text.assemble((f"{title:{self.labels}}", "bold"), (columns, "dim"))

    def bar(self, figures: Figures) -> Text:
        """Draw live bytes as a bar, and the rest of the peak behind it."""
        live, peak = (round(size / self.most * self.room) for size in (figures.live, figures.peak))
        return Text(self.live * live + self.peak * (peak - live), style="cyan")


def both(row: Measurement, scale: Scale) -> Iterator[Text]:
    """Yield the figures out of place, and those in place if they differ."""
    there, here = row.out_of_place, row.in_place
    same = (there.live, there.peak) == (here.live, here.peak)
    title = Text(row.situation.title, style="bold")
    if scale.labels == WAYS:
        yield title
        title = Text("  the same" if same else "  not in place")
    yield figures_line(title, there, there, row.unit, scale)
    if not same:
        yield figures_line(Text("  in place"), here, there, row.unit, scale)


def figures_line(name: Text, figures: Figures, reference: Figures, unit: int, scale: Scale) -> Text:
    """Return live and peak in units, marked if they differ from the reference, and in bytes; then the bar."""
    line = Text.assemble(name, " " * (scale.labels - len(name)))
    for size, other in ((figures.live, reference.live), (figures.peak, reference.peak)):
        text = f"{MARK if size != other else ' '}{size / unit:,.1f}"
        line.append(f"{text:>6}", style=CHANGED if size != other else "")
        line.append(f"{size:{scale.digits},}" if scale.digits else "", style="dim")
    return line.append(" ").append(scale.bar(figures))
