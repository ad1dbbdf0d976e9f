"""A finding in words: a headline and a few labelled lines, of which every view makes its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from relu_demo.watching.report import (
    GIVING,
    OVERWRITTEN,
    REFUSED,
    SILENT,
    Finding,
    Overwritten,
    Site,
    WatchReport,
    Write,
)

FEW = 3
"""Writes that are told of one tensor; of the others their number."""


@dataclass(frozen=True)
class Told:
    """One line below a headline. `where` and `source` are empty where it speaks of no place."""

    label: str
    where: str
    source: str
    words: str


def headline(finding: Finding) -> str:
    """Return what is the matter, with the line at which it shows."""
    at = finding.raised_at
    if finding.kind == REFUSED:
        name = finding.tensor.name or "the tensor"
        doing = at.source if at else "a write in place"
        return f"{_where(at)}  {doing} is refused: {name} {finding.why}".strip()
    if finding.kind == OVERWRITTEN:
        return f"{_where(at)}  {at.source if at else 'a backward'} raises: a tensor that it needs was overwritten"
    if finding.why:
        return f"{_where(at)}  {at.source if at else 'a line'} {finding.why}, and PyTorch says nothing"
    return f"{_where(at)}  {at.source if at else 'a backward'} computes wrong gradients, and PyTorch says nothing"


def _one_a_line(writes: Iterable[Write]) -> list[Write]:
    """Return the last of each run of writes by one operation at one line: `x[i] += y` adds, and then assigns."""
    found: list[Write] = []
    for write in writes:
        if found and found[-1].site == write.site and found[-1].elsewhere == write.elsewhere:
            found.pop()
        found.append(write)
    return found


def remark(finding: Finding) -> str:
    """Return a finding that may be meant in one sentence, with its lines."""
    writes = ", ".join(dict.fromkeys(_where(write.site) for write in finding.overwritten_by))
    name, at, saved = finding.tensor.name or "a tensor", finding.raised_at, _where(finding.saved_by)
    return f"{writes} writes {name} past autograd, and {_where(at)} uses it for gradients of {saved}"


def lines_of(finding: Finding, others: Sequence[Finding] = ()) -> Iterator[Told]:
    """Return the lines of a finding. `others` were saved at the same line and overwritten by the same ones."""
    what = _tensor(finding.tensor)
    more = f", and {len(others)} more: {', '.join(_tensor(f.tensor) for f in others[:FEW])}" if others else ""
    saved = finding.saved_by
    if saved is not None:
        label, did = "saved", f"saved {what}, version {finding.tensor.version}"
        if finding.kind == REFUSED:
            label, did = "made", "made it so"
        elif finding.why:
            label, did = "kept", f"kept {what}" if saved.module else "put it there"  # a hook, or a list
        yield Told(label, _where(saved), saved.source, f"{_who(saved)} {did}{more}")
    writes = _one_a_line(finding.overwritten_by)
    for write in writes[:FEW]:
        yield Told("overwritten", _where(write.site), write.site.source, f"{_who(write.site)} {_did(write, finding)}")
    if len(writes) > FEW:
        yield Told("", "", "", f"and {len(writes) - FEW:,} more writes")
    tried = {True: " (tried: backward runs)", False: " (tried: it does not run so)", None: ""}[finding.cure.works]
    if finding.kind == REFUSED and finding.cure.works:
        tried = " (tried: runs out of place)"
    yield Told("cure", "", "", f"{finding.cure.says}{tried}")
    if finding.words:
        said = finding.words.partition(" Hint: ")[0].strip().splitlines()
        yield Told("PyTorch", "", "", said[0] if said else "")


def _did(write: Write, finding: Finding) -> str:
    name = finding.tensor.name or "it"
    if finding.kind == REFUSED or finding.why:  # there it may have another name
        return "wrote that memory in place"
    if finding.kind == SILENT and not finding.why:
        if write.site.operation in GIVING:
            return f"gave the memory of {name} away, and it was written to there"
        return f"wrote {name} past autograd: the version counter stayed at {finding.tensor.version}"
    did = f"wrote {name} in place" if not write.elsewhere else "wrote another part of that memory"
    return did + (f", version {write.version}" if finding.kind == OVERWRITTEN else "")


def seen_in_words(report: WatchReport) -> str:
    """Return how much was watched."""
    counts = ((report.backwards, "backward"), (report.saved, "saved tensor"), (report.writes, "write in place"))
    words = [f"{number:,} {name if number == 1 else _plural(name)}" for number, name in counts]
    return f"{words[0]}, {words[1]} and {words[2]} were watched."


def verdict(report: WatchReport) -> str:
    """Return the conclusion, in one line."""
    faults = len(grouped(report.findings))
    found = "Nothing found" if not faults else "1 fault found" if faults == 1 else f"{faults:,} faults found"
    return f"{found}: {seen_in_words(report)}"


def _plural(name: str) -> str:
    return "writes in place" if name == "write in place" else f"{name}s"


def grouped(findings: Iterable[Finding]) -> list[tuple[Finding, list[Finding]]]:
    """Return the findings with those that differ from them in the tensor only."""
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        lines = [(site.file, site.line) for site in (finding.raised_at, finding.saved_by) if site is not None]
        lines += [(write.site.file, write.site.line) for write in finding.overwritten_by[:1]]
        groups.setdefault((finding.kind, *lines), []).append(finding)
    return [(first, others) for first, *others in groups.values()]


def text_of_findings(findings: Iterable[Finding]) -> str:
    """Return the findings as plain text."""
    blocks = []
    for finding, others in grouped(findings):
        rows = list(lines_of(finding, others))
        wide = max((len(row.where) for row in rows), default=0)
        source = max((len(row.source) for row in rows), default=0)
        lines = [headline(finding)]
        for row in rows:
            place = f"{row.where:{wide}}  {row.source:{source}}  " if row.where else ""
            lines.append(f"{row.label:12} {place}{row.words}".rstrip())
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _tensor(tensor: Overwritten) -> str:
    name = tensor.name or "a tensor"
    return f"{name} {list(tensor.shape)}" + (f" ({tensor.note})" if tensor.note else "")


def _who(site: Site) -> str:
    if site.operation.endswith("step()") and site.module:
        return site.module
    return f"{site.operation} in {site.module}" if site.module else site.operation


def _where(site: Site | None) -> str:
    return f"{_short(site.file)}:{site.line}" if site is not None else ""


def _short(path: str) -> str:
    return path.removeprefix(os.getcwd() + os.sep)
