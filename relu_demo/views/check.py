"""The screen of a check: each in-place call with its verdict, then the network as a whole, then the advice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from relu_demo.network.report import Call, CheckReport, Effect
from relu_demo.sanitizer.place import Place
from relu_demo.views.parts import NARROW, header, section

SAFE, FAULT, OPEN = ("safe", "green"), ("FAULT", "bold reverse red"), ("doubt", "bold")
"""The word and the style of a verdict. The word tells it without colours."""

MEANS = {
    "changes-result": "the network's result is wrong",
    "breaks-backward": "backward raises",
    "overwrites-input": "a tensor that the caller passed in is overwritten",
    "refused": "PyTorch raises in the forward",
}
WORDS = 300
"""Characters of PyTorch's own message that are shown."""
PLACES = 8
"""Readers, or savers, of one call that are shown; the report has all."""


@dataclass(frozen=True)
class CheckScreen:
    """The whole screen of a check."""

    report: CheckReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        report = self.report
        yield from header(f"The in-place calls of {report.network}", report)
        yield from _summary(report)
        if report.calls:
            rows = _rows([_row(call) for call in report.calls], options.max_width)
            yield from section("Calls with inplace=True: what each does alone, the others off", rows)
        if report.writes:
            writes = [(FAULT, "", _titled(w.place, [_by("saved before by", w.saved_by)]), "") for w in report.writes]
            yield from section("Other in-place writes that break backward", _rows(writes, options.max_width))
        yield from section("As written, against the same with every inplace= off", *_whole(report))
        yield from section("Advice", *_advice(report))
        if report.unseen:
            unseen = (Text(f"{u.module or 'the network'} ({u.type}): {u.why}") for u in report.unseen)
            yield from section("Not seen from inside, so not called safe", *unseen)


def _summary(report: CheckReport) -> Iterator[RenderableType]:
    mode = "training" if report.training else "evaluation"
    grad = "recorded by autograd" if report.grad else "not recorded by autograd"
    yield Text(f"{mode}, {grad}, on {report.device}", style="dim")
    bad = sum(not call.safe for call in report.calls)
    if not report.calls:
        yield Text("No call that takes inplace= is in place.")
    elif report.ok:
        yield Text(f"{_count(len(report.calls), 'in-place call')}, all safe.", style=SAFE[1])
    else:
        whole = report.as_written
        together = whole.differs or whole.gradients_differ or whole.forward_error or whole.conflicts
        if bad:
            harm = f"{bad} not safe"
        elif together or (whole.backward is False and not report.writes):
            harm = "each safe alone, but not all together"
        else:
            harm = "all safe, but not the other writes" if report.writes else "all safe, as far as was seen"
        yield Text(f"{_count(len(report.calls), 'in-place call')}: {harm}.")
    yield Text(f"{_count(report.forwards, 'forward')} and {_count(report.backwards, 'backward')} run.", style="dim")


Row = tuple[tuple[str, str], str, Group, str]


def _row(call: Call) -> Row:
    verdict = SAFE if call.safe else FAULT if any(effect.settled for effect in call.effects) else OPEN
    lines = [line for effect in call.effects for line in _effect(effect)]
    if call.safe and call.readers:
        lines.append(_by("no difference with this input, though touched later by", call.readers))
    if not call.result_used:
        lines.append(f"its result is dropped: the code relies on the overwriting; use it: {_used(call)}")
    return verdict, f"{call.index}", _titled(call.place, lines), f"{call.bytes:,}"


def _titled(place: Place, lines: Sequence[str]) -> Group:
    return Group(Text(_place(place)), *(Padding(line, (0, 0, 0, 2)) for line in map(Text, lines)))


def _rows(rows: Sequence[Row], width: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    narrow = width < NARROW
    table.add_column(no_wrap=True)
    if not narrow:
        table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    if not narrow:
        table.add_column(justify="right", no_wrap=True)
        table.add_row("", Text("#", style="dim"), Text("call", style="dim"), Text("bytes", style="dim"))
    for (word, style), number, text, size in rows:
        if narrow:
            overwritten = [Padding(Text(f"writes over {size} bytes"), (0, 0, 0, 2))] if size else []
            table.add_row(Text(word, style=style), Group(text, *overwritten))
        else:
            table.add_row(Text(word, style=style), number, text, size)
    return table


def _effect(effect: Effect) -> Iterator[str]:
    by = f" by {effect.difference:.4g}" if effect.difference is not None else ""
    maybe = "" if effect.settled else "perhaps "
    yield f"{maybe}{effect.kind}{by}: {MEANS[effect.kind]}"
    if effect.by:
        saver = "saved by" if effect.overwritten_by else "saved before by"
        yield _by(saver if effect.kind == "breaks-backward" else "read after by", effect.by)
    if effect.overwritten_by:
        yield _by("overwritten after by", effect.overwritten_by)
    if effect.note:
        yield effect.note
    if effect.words:
        yield f"PyTorch: {_words(effect.words)}"


def _whole(report: CheckReport) -> Iterator[Text]:
    whole = report.as_written
    if whole.forward_error:
        yield Text(f"The forward raises: {whole.forward_error}")
    elif whole.difference is None:
        yield Text("The results cannot be compared: there are no values on this device.")
    else:
        off = f"off by up to {whole.difference:.4g}" if whole.difference else "the same"
        yield Text(f"Result: {off}{', which is rounding' if whole.difference and not whole.differs else ''}.")
    if whole.gradients_differ:
        yield Text("The gradients are others, and nothing is raised.")
    if whole.backward is not None:
        shown = any(effect.words == whole.backward_error for call in report.calls for effect in call.effects)
        raises = ", in the words above." if shown else f": {_words(whole.backward_error or '')}"
        yield Text("Backward runs." if whole.backward else f"Backward raises{raises}")
    if whole.out_of_place_backward is False:
        yield Text("With every inplace= off, backward raises too.")
    for conflict in whole.conflicts:
        writer, saver = conflict.overwritten_by, conflict.saved_by
        yield Text(f"Together: {_place(writer)} writes over what {_place(saver)} saved.")


def _advice(report: CheckReport) -> Iterator[Text]:
    advice = report.advice
    rows = {call.index: call for call in (*report.calls, *report.off)}
    if not advice.turn_off and not advice.turn_on:
        if report.writes:
            yield Text("No inplace= to change: these writes have no such switch.")
        else:
            yield Text("Nothing to change." if report.ok else "Nothing to change in what was seen.")
    off, on = ([rows[index] for index in indices] for indices in (advice.turn_off, advice.turn_on))
    dropped = [call for call in off if not call.result_used]
    for title, calls in (
        ("Use the result (only turned off, the call would do nothing)", dropped),
        ("Turn off (inplace=False)", [call for call in off if call.result_used]),
        ("Could be on", on),
    ):
        if calls:
            yield Text(f"{title}: {_count(len(calls), 'call')}")
            lines = (_place(call.place) + (f": {_used(call)}" if calls is dropped else "") for call in calls)
            yield from (Text(f"  {line}") for line in dict.fromkeys(lines))
    if advice.before and advice.after:
        live, peak = f"{advice.saves_live:,}", f"{advice.saves_peak:,}"
        yield Text(f"  saves {live} bytes after the forward, {peak} at its highest point (measured)")
    if advice.turn_off and not advice.verified:
        yield Text("  (not verified: a run with these switches is still not the same)")


def _used(call: Call) -> str:
    return f"x = {call.place.operation}(x)"


def _by(how: str, places: Sequence[Place]) -> str:
    more = len(places) - PLACES
    text = ", ".join(_place(place) for place in places[:PLACES])
    return f"{how} {text}{f' and {more:,} more' if more > 0 else ''}"


def _place(place: Place) -> str:
    text = f"{place.operation} in {place.module}" if place.module else place.operation
    return f"{text} ({place.file.removeprefix(os.getcwd() + os.sep)}:{place.line})" if place.file else text


def _words(words: str) -> str:
    """Return PyTorch's own message without its hint at the anomaly mode."""
    said = words.partition(" Hint: ")[0]
    return said if len(said) <= WORDS else f"{said[:WORDS]}..."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
