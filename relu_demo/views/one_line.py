"""The report in one line, what was asked and the answer; and its cures as one patch. Imports no rich."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from os.path import basename
from typing import TYPE_CHECKING, TextIO

from relu_demo.claims.report import JudgedClaim, SessionReport, Verdict, counted
from relu_demo.errors import readable
from relu_demo.language import _, clauses, enumerated, mark, plural
from relu_demo.memory.report import MemoryReport
from relu_demo.network.report import CheckReport
from relu_demo.request import command_line
from relu_demo.sanitizer.place import Place
from relu_demo.scenarios import kind_answered_by
from relu_demo.session.faults import RulesReport
from relu_demo.views import function_named
from relu_demo.watching.finding_words import verdict
from relu_demo.watching.report import WatchReport

if TYPE_CHECKING:
    from relu_demo.scenarios import AnyReport


def write_line(report: AnyReport, out: TextIO) -> None:
    """Write the line."""
    out.write(readable(one_line(report)) + "\n")


def write_patch(report: CheckReport | WatchReport, out: TextIO) -> None:
    """Write the patch, with the bytes of the files. Where a fault has no cure that is an edit, say so on stderr."""
    has_fault = report.has_fault if isinstance(report, CheckReport) else not report.ok
    if has_fault and not report.patch and sys.stderr is not None:
        with suppress(OSError, ValueError):  # stderr is closed: the exit code says enough
            cures = report.cures if isinstance(report, CheckReport) else [finding.cure for finding in report.findings]
            failed = any(cure.works is False for cure in cures)
            why = "the edits that were tried do not help" if failed else "no cure is an edit"
            print(f"relu-demo: {why}; the report without --diff says what to do", file=sys.stderr)
    binary = getattr(out, "buffer", None)
    if binary is None:
        out.write(report.patch)
    else:
        out.flush()
        binary.write(report.patch.encode("utf-8", "surrogateescape"))


def one_line(report: AnyReport) -> str:
    """Return the report in one line: `relu-demo --compare --seed 7: all 9 claims hold`."""
    line: str = function_named(kind_answered_by(report).line)(report)
    return line


def session_line(report: SessionReport) -> str:
    """Return what was replayed, and which claims hold."""
    return f"{command_line(report.request)}: {claims_in_words(report.claims)}"


def rules_line(report: RulesReport) -> str:
    """Return how many faults are explained."""
    return f"{command_line(report.request)}: {_(plural('{n:,} page', '{n:,} pages', len(report.rules)))}"


def memory_line(report: MemoryReport) -> str:
    """Return what was measured, and where in place needed less memory, after the forward or at its peak."""
    saving = sum(row.saves for row in report.rows)
    saved = mark("in place saved memory in {saving} of {all} situations", saving=saving, all=len(report.rows))
    return f"{command_line(report.request)}: {_(clauses([saved, claims_in_words(report.claims)]))}"


def check_line(report: CheckReport) -> str:
    """Return what was checked, and whether it is safe."""
    return f"{command_line(report.request) or report.network}: {check_in_words(report)}"


def watch_line(report: WatchReport) -> str:
    """Return what was watched, and how many faults were found."""
    return f"{command_line(report.request) or 'relu_demo.watch'}: {verdict(report)}"


def claims_in_words(claims: Sequence[JudgedClaim]) -> str:
    """Say how many claims hold, which do not, and what to try where the input cannot show one."""
    numbers = {
        verdict: [str(number) for number, claim in enumerate(claims, 1) if claim.verdict is verdict]
        for verdict in Verdict
    }
    holds, fails, unshown = (numbers[verdict] for verdict in (Verdict.HOLDS, Verdict.FAILS, Verdict.UNSHOWN))
    if len(holds) == len(claims):
        return _("all {n} claims hold", n=len(claims)) if len(claims) > 1 else _("the claim holds")
    said: list[str] = [
        plural("{held} of {n:,} claim hold", "{held} of {n:,} claims hold", len(claims), held=len(holds))
    ]
    if fails:
        which = enumerated(fails)
        said.append(plural("claim {which} does not hold", "claims {which} do not hold", len(fails), which=which))
    if unshown:
        which = enumerated(unshown)
        said.append(
            plural(
                "this input cannot show claim {which}",
                "this input cannot show claims {which}",
                len(unshown),
                which=which,
            )
        )
        said += [claim.hint for claim in claims if claim.hint][:1]
    return _(clauses(said))


def check_in_words(report: CheckReport) -> str:
    """Say whether every in-place call is safe, and which is not."""
    whole, calls = report.as_written, counted(len(report.calls), "in-place call")
    writes = report.harmful_writes
    faults = [*(call.place for call in report.calls if not call.safe), *(write.place for write in writes)]
    if faults:
        bad, others = len(faults) - len(writes), counted(len(writes), "other in-place write")
        unsafe = " and ".join([f"{bad} of {calls}"] * bool(bad) + [others] * bool(writes))
        lines = ", ".join(dict.fromkeys(map(where, faults)))
        return f"{unsafe} {'is' if len(faults) == 1 else 'are'} not safe: {lines}"
    if whole.out_of_place_backward is False:
        return f"{calls}, and backward raises even with all of them out of place"
    if whole.forward_error or whole.differs or whole.gradients_differ or whole.hooks_differ or whole.backward is False:
        return f"{calls}, each safe alone, but not all together"
    if report.unseen:
        return f"{calls}, safe as far as they could be seen"
    if not report.calls:
        return "no in-place call to test"
    if whole.backward is None:
        return f"{calls}, safe in the forward; autograd recorded nothing"
    # Other numbers may show what these do not: a ReLU that zeroed nothing has changed nothing for whoever reads it.
    return f"{calls}, all safe{' with this input' if any(call.readers for call in report.calls) else ''}"


def where(place: Place) -> str:
    """Return the file and line of a place, or its module if no file of the user's is known."""
    return (
        f"{basename(place.file)}:{place.line}"
        if place.file
        else f"{place.operation} in {place.module or 'the network'}"
    )
