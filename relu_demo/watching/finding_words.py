"""A finding in words: a headline and a few labelled lines, of which every view makes its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from relu_demo.claims.report import counted
from relu_demo.edits.edit import Cure
from relu_demo.request import page_line
from relu_demo.sanitizer.place import GIVING
from relu_demo.watching.report import (
    OVERWRITTEN,
    REFUSED,
    SILENT,
    Finding,
    Missing,
    Overwrite,
    Saver,
    Site,
    WatchReport,
    WorthALook,
)

MOST_TOLD = 3
"""Writes of one tensor, and savers and tensors of one fault, that are named; of the others their number is told."""


@dataclass(frozen=True)
class Detail:
    """One line below a headline. `where` and `source` are empty where it speaks of no place."""

    label: str
    where: str
    source: str
    words: str


def headline(finding: Finding) -> str:
    """Return what is the matter, with the line at which it shows."""
    at = finding.raised_at
    there = f"{where_of(at)}  {at.source}" if at else "a write in place" if finding.kind == REFUSED else "a backward"
    if finding.kind == REFUSED:
        return f"{there} is refused: {finding.tensor.name or 'the tensor'} {finding.why}"
    if finding.kind == OVERWRITTEN:
        return f"{there} raises: a tensor that it needs was overwritten"
    return f"{there} computes wrong gradients, and PyTorch says nothing"


def lines_of(finding: Finding, watched: int = 1) -> Iterator[Detail]:
    """Return the lines of a finding. `watched`: the program's processes that were watched."""
    told: set[tuple[str, int]] = set()
    if finding.raised_at is not None:
        told.add((finding.raised_at.file, finding.raised_at.line))
        yield from _callers(finding.raised_at, told)
    yield from _saving(finding)
    yield from _writing(finding, told)
    if finding.cure.says:
        tried = {True: "it runs, and nothing is found", False: "it does not help"}
        more = finding.cure.further
        beside = f" with {counted(more, 'more edit')}, see --try --diff" if more else ""
        run = f" (tried{beside}: {tried[finding.cure.works]})" if finding.cure.works is not None else ""
        yield Detail("cure", "", "", f"{finding.cure.says}{run}")
        yield from (Detail(line[0], "", "", line[1:]) for line in edit_lines(finding.cure))
        if finding.cure.warning:
            yield Detail("", "", "", f"but {finding.cure.warning}")
    if finding.words:
        yield Detail("PyTorch", "", "", finding.words.strip().partition("\n")[0].partition(". ")[0])
    if finding.processes > 1:
        yield Detail("", "", "", f"in {finding.processes} of {max(watched, finding.processes)} processes")
    yield Detail("why", "", "", page_line(finding.rule))


def _saving(finding: Finding) -> Iterator[Detail]:
    saved = finding.saved_by
    if saved is None:
        return
    if finding.kind == REFUSED:
        yield Detail("made", where_of(saved), saved.source, f"{_who(saved)} made it so")
        return
    savers = (Saver(saved, finding.tensors), *finding.also_saved_by)
    for saver in savers[:MOST_TOLD]:
        names = list(dict.fromkeys(f"{each.name or 'a tensor'} {list(each.shape)}" for each in saver.tensors))
        more = f", and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
        what = f"{_who(saver.site)} saved {', '.join(names[:MOST_TOLD])}{more}, version {saver.tensors[0].version}"
        yield Detail("saved", where_of(saver.site), saver.site.source, what.strip())
    if len(savers) > MOST_TOLD:
        yield Detail("", "", "", f"and {counted(len(savers) - MOST_TOLD, 'more line')}")


def _writing(finding: Finding, told: set[tuple[str, int]]) -> Iterator[Detail]:
    writes = _one_a_statement(finding.overwritten_by)
    for write in writes[:MOST_TOLD]:
        site = write.site
        yield Detail("overwritten", where_of(site), site.source, f"{_who(site)} {_did(write, finding)}".strip())
        yield from _callers(site, told)
    if len(writes) > MOST_TOLD:
        yield Detail("", "", "", f"and {len(writes) - MOST_TOLD:,} more writes")
    if not writes and finding.kind != REFUSED:
        yield Detail("overwritten", "", "", "the write was not seen: it ran where nobody could look")


def edit_lines(cure: Cure) -> list[str]:
    """Return the lines that a cure takes out and puts in, each behind its `-` or `+`; none where a file is gone."""
    text = (cure.diff or "").splitlines()
    lines = [line for line in text if line[:1] in ("-", "+") and line[:3] not in ("---", "+++")]
    indent = min((len(line[1:]) - len(line[1:].lstrip()) for line in lines if line[1:].strip()), default=0)
    return [line[0] + line[1 + indent :] for line in lines]


def look_in_words(look: WorthALook) -> str:
    """Return what is worth a look in one sentence, with both lines."""
    settle = f"; {look.settle} runs it both ways" if look.settle else ""
    written, read = look.written, look.read
    writes = f"{where_of(written)} {written.source} writes to the memory of {look.name}"
    return f"{writes}, and {where_of(read)} {read.source} reads it as {look.name}{settle}; {page_line(look.rule)}"


def counts_in_words(report: WatchReport) -> str:
    """Return how much was watched."""
    passes = f"{report.backwards:,} backward pass{'' if report.backwards == 1 else 'es'}"
    return f"Watched: {passes}, {counted(report.saved, 'saved tensor')}, {counted(report.writes, 'in-place write')}."


def missing_in_words(missing: Missing) -> str:
    """Return what to do about a module that the program's Python does not have."""
    give = "to run it with your own, give relu-demo watch python SCRIPT"
    return f"{missing.name} is not installed in the Python that ran, {missing.python}; {give}"


def verdict(report: WatchReport) -> str:
    """Return the conclusion, in one line."""
    if not report.processes:
        why = (
            "" if report.unwatched else ": no Python process of the program imported torch where the watch could begin"
        )
        return f"Nothing was watched{why}."
    looks = counted(len(report.worth_a_look), "thing")
    none = f"No fault found, {looks} worth a look" if report.worth_a_look else "Nothing found"
    found = f"{counted(len(report.findings), 'fault')} found" if report.findings else none
    return f"{found}. {counts_in_words(report)}"


def text_of_findings(findings: Iterable[Finding]) -> str:
    """Return the findings as plain text."""
    blocks = []
    for finding in findings:
        rows = list(lines_of(finding))
        wide = max((len(row.where) for row in rows), default=0)
        source = max((len(row.source) for row in rows), default=0)
        lines = [headline(finding)]
        for row in rows:
            place = f"{row.where:{wide}}  {row.source:{source}}  " if row.where else ""
            lines.append(f"{row.label:12} {place}{row.words}".rstrip())
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def where_of(site: Site) -> str:
    """Return a place as the user would type it: `train.py:21`; `Cell 5, line 7`."""
    return f"{site.file}, line {site.line}" if site.file.startswith("Cell ") else f"{site.file}:{site.line}"


def _callers(site: Site, told: set[tuple[str, int]]) -> Iterator[Detail]:
    """Yield the lines that called a site, each once in a finding."""
    for caller in site.called_from[:MOST_TOLD]:
        if (caller.file, caller.line) not in told:
            told.add((caller.file, caller.line))
            yield Detail("called from", where_of(caller), caller.source, "")


def _one_a_statement(writes: Iterable[Overwrite]) -> list[Overwrite]:
    """Return the last write of each statement."""
    return list({(w.site.file, w.site.line, w.elsewhere): w for w in writes}.values())


def _did(write: Overwrite, finding: Finding) -> str:
    name = finding.tensor.name or "it"
    if finding.kind == REFUSED:  # there it may have another name
        return "wrote that memory in place"
    if finding.kind == SILENT:
        if write.site.operation in GIVING:
            return f"gave the memory of {name} away, and it was written to there"
        return f"wrote {name} past autograd: the version counter stayed at {finding.tensor.version}"
    did = "wrote another part of that memory" if write.elsewhere else f"wrote {name} in place"
    return f"{did}, version {write.version}"


def _who(site: Site) -> str:
    if site.operation.endswith("step()") and site.module:
        return site.module
    operation = "" if site.operation in site.source and " " in site.operation else site.operation  # it stands there
    return f"{operation} in {site.module}" if operation and site.module else operation
