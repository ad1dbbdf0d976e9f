"""The screen of a check: the calls at fault, the advice, the network as a whole, and the verdict last."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from relu_demo.claims.report import counted
from relu_demo.edits.edit import Cure, united
from relu_demo.errors import readable
from relu_demo.network.report import (
    CHANGES_RESULT,
    STALE_WORDS,
    WRONG_GRADIENTS,
    Call,
    CheckReport,
    Effect,
    HarmfulWrite,
)
from relu_demo.request import page_line
from relu_demo.sanitizer.place import Place
from relu_demo.views.one_line import check_in_words, check_line, where
from relu_demo.views.parts import NARROW, header, literal, section
from relu_demo.views.watch_screen import LABEL_STYLES
from relu_demo.watching.finding_words import edit_lines, where_of
from relu_demo.watching.report import REFUSED, WorthALook

SAFE, FAULT, OPEN = ("safe", "green"), ("FAULT", "bold reverse red"), ("doubt", "bold")
"""The word and the style of a verdict. The word tells it without colours."""

MEANS = {
    "changes-result": "the network's result is wrong",
    "breaks-backward": "backward raises",
    "overwrites-input": "a tensor that the caller passed in is overwritten",
    "refused": "PyTorch raises in the forward",
}
_GRADIENTS = "the gradients are wrong, and nothing is raised"
MOST_CHARACTERS = 300
"""Characters of PyTorch's own message that are shown."""
MOST_PLACES = 8
"""Readers, or savers, of one call that are shown; the report has all."""


@dataclass(frozen=True)
class CheckScreen:
    """The whole screen of a check: one line where all is well, else the faults, the advice, and the verdict last."""

    report: CheckReport

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        report = self.report
        every = report.request is not None and report.request.every_call
        rows = sorted(_rows(report.calls, every), key=lambda row: row.verdict is SAFE)
        folded = len(report.calls) - sum(row.calls for row in rows)
        advice = list(_advice(report))
        if report.ok and not (rows or advice or report.unrestored or report.worth_a_look):
            yield literal(f"{check_line(report)} ({_mode_in_words(report)}{_lists(report, folded)})", style=SAFE[1])
            return
        yield from header(f"The in-place calls of {report.network}", report)
        passes = f"{counted(report.forwards, 'forward')} and {counted(report.backwards, 'backward')}"
        yield literal(f"{_mode_in_words(report)}; {passes} run", style="dim")
        if rows or folded:
            yield from section("Each tested alone, with the others out of place")
            if rows:
                yield _table(rows, options, report)
            if folded:
                others = "other call" if rows else "call"
                yield literal(
                    f"{counted(folded, others)} {'is' if folded == 1 else 'are'} safe{_lists(report, folded)}"
                )
        if report.harmful_writes:
            yield from section("Other writes in place that do harm")
            yield _table([_write_row(write, report) for write in report.harmful_writes], options, report)
        if advice:
            yield from section("Advice", *advice)
        if report.worth_a_look:
            looks = [*map(_look_in_words, report.worth_a_look), *_whys(look.rule for look in report.worth_a_look)]
            yield from section("Worth a look: autograd knows nothing of it", *looks)
        if report.unseen:
            unseen = (literal(f"{u.module or 'the network'} ({u.type}): {u.why}") for u in report.unseen)
            yield from section("Not seen from inside, so not called safe", *unseen)
        if report.unrestored:
            lines = (f"{each.name or 'in an attribute'} ({each.type}): {each.why}" for each in report.unrestored)
            yield from section("Not as before the check", *map(literal, lines))
        yield from section("As written, compared with all of them out of place", *_compared(report))
        said = check_in_words(report)
        yield from ("", literal(f"{said[:1].upper()}{said[1:]}.", style=SAFE[1] if report.ok else "bold red"))


def _mode_in_words(report: CheckReport) -> str:
    mode = "training" if report.training else "evaluation"
    grad = "recorded by autograd" if report.grad else "not recorded by autograd"
    return f"{mode}, {grad}, on {report.device}"


def _lists(report: CheckReport, folded: int) -> str:
    """Say where the calls are that are folded into a count."""
    lists = "report.calls" if report.request is None else "--all"
    return f"; {lists} lists {'it' if folded == 1 else 'them'}" if folded else ""


@dataclass(frozen=True)
class CallRow:
    """The calls of one line that fare alike, or a write, with the cure."""

    verdict: tuple[str, str]
    title: str
    source: str
    lines: Sequence[str]
    calls: int
    rules: Sequence[str]
    cure: Cure | None = None


def _rows(calls: Sequence[Call], every: bool) -> Iterator[CallRow]:
    """Yield the calls that are to be looked at, or `every` one; those of one source line that fare alike in one row."""
    alike: dict[object, list[Call]] = {}
    for call in calls:
        if every or not call.safe or call.readers or call.cure:
            place = call.place
            source = (place.operation, place.file, place.line, place.module if place.file is None else "")
            what = tuple((effect.kind, effect.settled) for effect in call.effects)
            alike.setdefault((source, what, bool(call.readers)), []).append(call)
    for group in alike.values():
        yield _row(group)


def _row(calls: Sequence[Call]) -> CallRow:
    call = calls[0]
    is_fault = any(effect.settled for effect in call.effects) or bool(call.safe and call.cure)
    verdict = FAULT if is_fault else SAFE if call.safe else OPEN
    lines = [line for effect in call.effects for line in _effect(effect)]
    if call.safe and call.readers:
        lines.append(_by("no difference with this input, though touched later by", call.readers))
    if call.safe and call.cure:
        lines.append("safe alone, and not together with the others")
    if len(calls) > 1:
        modules = list(dict.fromkeys(each.place.module or "the network" for each in calls[1:]))
        more = f" and {len(modules) - MOST_PLACES:,} more" if len(modules) > MOST_PLACES else ""
        lines.append(
            f"likewise {counted(len(calls) - 1, 'more call')} of this line: in {', '.join(modules[:MOST_PLACES])}{more}"
        )
    if size := sum(each.bytes for each in calls):
        lines.append(f"writes over {size:,} bytes")
    rules = [effect.rule for effect in call.effects]
    same = [each.cure for each in calls if each.cure and call.cure and each.cure.says == call.cure.says]
    cure = call.cure and replace(call.cure, edits=united(each.edits for each in same))
    return CallRow(verdict, *_title(call.place, call.source, call.type), lines, len(calls), rules, cure)


def _write_row(write: HarmfulWrite, report: CheckReport) -> CallRow:
    how = "made so by" if write.kind == REFUSED else "saved for backward by"
    means = _GRADIENTS if write.kind == CHANGES_RESULT else MEANS[write.kind]
    if write.kind == REFUSED and not report.forwards:
        means = "PyTorch raises while the network is built"
    elif write.kind == REFUSED and report.as_written.forward_error is None:
        means, how = "PyTorch refuses a view of the tensor that was made before", "view made by"
    means += f": {write.why}" if write.why else ""
    lines = [means, *([_by(how, write.savers)] if write.savers else [])]
    return CallRow(FAULT, *_title(write.place, write.source), lines, 1, [write.rule], write.cure)


def _title(place: Place, source: str, kind: str | None = None) -> tuple[str, str]:
    """Return where a row's operation stands, `relu1 (ReLU) net.py:19`, and its line."""
    bare = _place(replace(place, file=None))
    name = f"{place.module or 'the network'} ({kind})" if kind and place.hook is None else bare
    return f"{name} {where(place)}" if place.file else name, source


def _table(rows: Sequence[CallRow], options: ConsoleOptions, report: CheckReport) -> Table:
    """Return the rows with their cures and their pages, of which each is shown once."""
    shown: set[Cure | str] = set()
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    for row in rows:
        word, style = row.verdict
        title, source = literal(row.title), literal(row.source, style="bold")
        # A line that is cut still says which it is; where little fits, it stands below.
        together = [title, source] if options.max_width < NARROW else [Text.assemble(title, "  ", source)]
        for text in together if row.source else [title]:
            text.no_wrap, text.overflow = bool(row.source), "crop" if options.ascii_only else "ellipsis"
        lines = [*map(literal, row.lines)]
        if row.cure is not None and row.cure.says and row.cure not in shown:
            shown.add(row.cure)
            lines += _cured(row.cure, report)
        lines += _whys(rule for rule in row.rules if rule not in shown)
        shown |= {*row.rules}
        details = (Padding(line, (0, 0, 0, 2)) for line in lines)
        table.add_row(literal(word, style=style), Group(*(together if row.source else [title]), *details))
    return table


def _effect(effect: Effect) -> Iterator[str]:
    off = effect.difference
    by = "" if off is None else f", by up to {off:.4g}" if isfinite(off) else ", in its shape, its kind or its NaNs"
    if effect.note == WRONG_GRADIENTS:
        yield _GRADIENTS
        yield from [_by("needed by", effect.by)] * bool(effect.by)
        return
    if effect.outside:
        yield f"the network's result is right; what {_seen_by(effect.by)} is wrong{by}"
    else:
        yield f"{'' if effect.settled else 'perhaps '}{MEANS[effect.kind]}{by}"
    holders = [place for place in effect.by if place.is_kept]
    yield from map(_place, holders)
    if len(effect.by) > len(holders):
        saver = "saved by" if effect.writers else "saved for backward by"
        how = {"breaks-backward": saver, "refused": saver if STALE_WORDS in (effect.words or "") else "made so by"}
        yield _by(how.get(effect.kind, "later read by"), [place for place in effect.by if place not in holders])
    if effect.writers:
        yield _by("later overwritten by", effect.writers)
    if effect.note:
        yield effect.note
    if effect.words:
        yield f"PyTorch: {_shortened(effect.words)}"


def _seen_by(places: Sequence[Place]) -> str:
    whose = "a hook" if all(place.hook for place in places) else "something outside"
    return f"{whose} {' or '.join(sorted({'keeps' if place.is_kept else 'reads' for place in places}, reverse=True))}"


def _compared(report: CheckReport) -> Iterator[Text]:
    whole = report.as_written
    if whole.forward_error:
        yield literal(f"{'The forward raises' if report.forwards else 'Building it raises'}: {whole.forward_error}")
    elif whole.difference is None:
        yield literal("The results cannot be compared: there are no values on this device.")
    else:
        off = f"off by up to {whole.difference:.4g}" if whole.difference else "the same"
        is_noise = any("from run to run" in unseen.why for unseen in report.unseen)
        harmless = ", as from run to run" if is_noise else ", which is rounding"
        yield literal(f"Result: {off}{harmless if whole.difference and not whole.differs else ''}.")
    if whole.hooks_differ:
        yield literal("What hooks see is not the same.")
    if whole.gradients_differ:
        yield literal("The gradients differ, and nothing is raised.")
    if whole.backward is not None:
        shown = any(effect.words == whole.backward_error for call in report.calls for effect in call.effects)
        raises = ", in the words above." if shown else f": {_shortened(whole.backward_error or '')}"
        yield literal("Backward runs." if whole.backward else f"Backward raises{raises}")
    if whole.out_of_place_backward is False:
        yield literal("With all of them out of place, backward raises too.")
    for conflict in whole.conflicts:
        writer, saver = conflict.writer, conflict.saver
        yield literal(f"Together: {_place(writer)} writes over what {_place(saver)} saved.")


def _advice(report: CheckReport) -> Iterator[Text]:
    advice = report.advice
    on = [call for call in report.off if call.index in advice.turn_on]
    if on:
        yield literal(f"Could be on: {counted(len(on), 'call')}")
        yield from (literal(f"  {text}") for text in dict.fromkeys(_place(call.place) for call in on))
    if advice.before and advice.after:
        live, peak = f"{advice.saves_live:,}", f"{advice.saves_peak:,}"
        yield literal(f"  saves {live} bytes after the forward, {peak} at its highest point (measured)")
    if advice.turn_off and not advice.verified:
        yield literal("With the calls at fault out of place, a run is still not the same.")


def _look_in_words(look: WorthALook) -> Text:
    written, read = look.written, look.read
    later = (
        f"{where_of(read)}  {read.source}" if read.file else {"return": "the caller"}.get(read.operation, "the network")
    )
    return literal(f"{where_of(written)}  {written.source}  writes to {look.name}, which {later} uses")


def _cured(cure: Cure, report: CheckReport) -> Iterator[Text]:
    """Yield a cure with what became of it, and the lines that it takes out and puts in."""
    several = sum(bool(each.edits) for each in report.cures) > 1
    safe = "no fault is found" if report.unseen else "all safe"
    helps = f"tried together: {safe}" if several else f"tried: {safe} with it"
    helps = helps if report.safe_when_cured else "tried: this fault is gone with it"
    tried = {True: f" ({helps})", False: " (tried: it does not help)", None: " (not tried)" * bool(cure.edits)}
    yield Text.assemble(("cure", LABEL_STYLES["cure"]), readable(f"  {cure.says}{tried[cure.works]}"))
    for text in edit_lines(cure):
        yield Text(readable(f"{text[0]} {text[1:]}"), style=LABEL_STYLES[text[0]])
    if cure.warning:
        yield literal(f"but {cure.warning}")


def _whys(rules: Iterable[str]) -> Iterator[Text]:
    """Yield the command that explains each rule, once."""
    for rule in filter(None, dict.fromkeys(rules)):
        yield Text.assemble(("why", LABEL_STYLES["why"]), f"   {page_line(rule)}")


def _by(how: str, places: Sequence[Place]) -> str:
    more = len(places) - MOST_PLACES
    text = ", ".join(_place(place) for place in places[:MOST_PLACES])
    return f"{how} {text}{f' and {more:,} more' if more > 0 else ''}"


def _place(place: Place) -> str:
    operation = "x[...] =" if place.operation == "__setitem__" else place.operation
    text = f"{operation} in {place.module}" if place.module else operation
    if place.hook is not None:
        text = f"{operation} in hook {place.hook} of {place.module or 'the network'}"
    return f"{text} ({place.file.removeprefix(os.getcwd() + os.sep)}:{place.line})" if place.file else text


def _shortened(words: str) -> str:
    """Return PyTorch's own message without its hint at the anomaly mode."""
    said = words.partition(" Hint: ")[0]
    return said if len(said) <= MOST_CHARACTERS else f"{said[:MOST_CHARACTERS]}..."
