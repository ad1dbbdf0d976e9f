"""The screen of `--memory`: what in place saves in training and why, then bytes as figures and as bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.text import Text

from relu_demo.language import _, cells, mark, plural
from relu_demo.memory.report import Figures, Measurement, MemoryReport
from relu_demo.request import command_line
from relu_demo.views.claims import titled_claims
from relu_demo.views.parts import CHANGED, MARK, NARROW, versions

LESSON = "conv_relu_training"
"""The situation that is told first."""

WAYS = 14
"""Cells of the names of the two ways, with which a line of figures begins if there is no room for a title."""

LEAST_BAR = 8
"""Characters that a bar needs."""


@dataclass(frozen=True)
class MemoryScreen:
    """The whole screen: the situations in which in place saves, the others, the claim and the conclusion."""

    report: MemoryReport

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
        signs = {"live": scale.live * 3, "peak": scale.peak * 3, "mark": MARK}
        legend = _("{live} live after the forward, {peak} more at the peak; {mark} differs in place", **signs)
        yield Text(legend, style="dim")
        for title, group in ((_("Saves memory"), saves), (_("Saves nothing"), others)):
            if group:
                yield from ("", scale.titles(title))
            for row in group:
                yield from both(row, scale)
                yield Padding(Text(_(row.why), style="dim"), (0, 0, 0, 2))
        yield from ("", *titled_claims(report.claims, end=where_saved(saves, rows)))


def lesson(row: Measurement) -> str:
    """Say whether the commonest network saves memory in training, and why."""
    saves, nothing = (
        mark("In training, conv+ReLU saves memory: {why}"),
        mark("In training, conv+ReLU saves nothing: {why}"),
    )
    return _(saves if row.saves else nothing, why=row.in_short)


def unit(report: MemoryReport) -> str:
    """Say how many blocks each network has, and how large a unit is."""
    asked = report.request
    return _(
        "{blocks} each; unit: one activation of {shape} float32, {size}",
        blocks=plural("{n:,} block", "{n:,} blocks", asked.depth),
        shape=asked.shape,
        size=plural("{n:,} byte", "{n:,} bytes", report.rows[0].unit),
    )


def where_saved(saves: Sequence[Measurement], rows: Sequence[Measurement]) -> str:
    """Say in how many situations in place saved memory, and where most in bytes."""
    counts = {"saving": len(saves), "all": len(rows)}
    if not saves:
        return _("Saved in {saving} of {all} situations.", **counts)
    most = max(saves, key=saved_bytes)
    found = {"title": most.situation.title, "bytes": saved_bytes(most)}
    return _("Saved in {saving} of {all} situations, most in {title}: {bytes:,} bytes.", **counts, **found)


def saved_bytes(row: Measurement) -> int:
    """Return the bytes that in place saves, after the forward or at the peak, whichever is more."""
    return max(row.out_of_place.live - row.in_place.live, row.out_of_place.peak - row.in_place.peak)


@dataclass(frozen=True)
class Scale:
    """What the lines of figures share: `most` bytes take a bar of `room` cells; bytes take `digits` cells.

    The label in front of them takes `labels` cells: WAYS, if the titles do not fit beside the figures.
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
        titles = max(cells(_(row.situation.title)) for row in rows)
        labels = titles if titles + LEAST_BAR <= room else WAYS
        return cls(labels, most, room - labels, digits, live, peak)

    def titles(self, title: str) -> Text:
        """Return the title of the rows, and the titles of their columns."""
        in_bytes = to_the_right(_("bytes"), self.digits) if self.digits else ""
        live, peak = to_the_right(_("live"), 6), to_the_right(_("peak"), 6)
        gap = " " * (self.labels - cells(title))
        return Text.assemble((title + gap, "bold"), (f"{live}{in_bytes}{peak}{in_bytes}", "dim"))

    def bar(self, figures: Figures) -> Text:
        """Draw live bytes as a bar, and the rest of the peak behind it."""
        live, peak = (round(size / self.most * self.room) for size in (figures.live, figures.peak))
        return Text(self.live * live + self.peak * (peak - live), style="cyan")


def both(row: Measurement, scale: Scale) -> Iterator[Text]:
    """Yield the figures out of place, and those in place if they differ."""
    there, here = row.out_of_place, row.in_place
    same = (there.live, there.peak) == (here.live, here.peak)
    title = Text(_(row.situation.title), style="bold")
    if scale.labels == WAYS:
        yield title
        title = Text(f"  {_('the same') if same else _('not in place')}")
    yield figures_line(title, there, there, row.unit, scale)
    if not same:
        yield figures_line(Text(f"  {_('in place')}"), here, there, row.unit, scale)


def to_the_right(words: str, width: int) -> str:
    """Return words at the right of so many cells."""
    return " " * (width - cells(words)) + words


def figures_line(name: Text, figures: Figures, reference: Figures, unit: int, scale: Scale) -> Text:
    """Return live and peak in units, marked if they differ from the reference, and in bytes; then the bar."""
    line = Text.assemble(name, " " * (scale.labels - name.cell_len))
    for size, other in ((figures.live, reference.live), (figures.peak, reference.peak)):
        text = f"{MARK if size != other else ' '}{size / unit:,.1f}"
        line.append(f"{text:>6}", style=CHANGED if size != other else "")
        line.append(f"{size:{scale.digits},}" if scale.digits else "", style="dim")
    return line.append(" ").append(scale.bar(figures))
