"""Small programs with one fault each: the watch names the lines that are marked in them, and the cured one has none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.cured_programs import (
    HEAD,
    OVERWRITTEN,
    REFUSED,
    SAID,
    SILENT,
    SURROUNDED,
    faulty_and_cured,
    run_of,
    watched,
)

import relu_demo
from relu_demo.watching import report as kinds
from relu_demo.watching.finding_words import headline, lines_of
from relu_demo.watching.report import Finding, WatchReport

PROGRAMS = {**OVERWRITTEN, **SILENT, **REFUSED, **SURROUNDED, **SAID}
MARKS = ("SAVES", "WRITES", "RAISES")
TOLD = dict(part.split("\n", 1) for part in (Path(__file__).parent / "told.txt").read_text().strip().split("\n\n"))
"""For each program, what is told of each fault in it: one line a fault, with what its cure puts in."""


def named(report: WatchReport) -> dict[str, set[int]]:
    """The lines that the report names, by the marks that they should have."""
    lines: dict[str, set[int]] = {mark: set() for mark in MARKS}
    for finding in report.findings:
        at, by = finding.raised_at, finding.saved_by
        assert at is not None
        lines["SAVES"] |= {site.line for site in (by, *(saver.site for saver in finding.also_saved_by)) if site}
        lines["WRITES"] |= {write.site.line for write in finding.overwritten_by}
        at_the_write = finding.kind == kinds.REFUSED and not finding.overwritten_by and "backward" not in at.operation
        lines["WRITES" if at_the_write else "RAISES"] |= {at.line}
    return lines


def words_without_a_watch(source: str, file: Path) -> str:
    try:
        run_of(source, file)
    except RuntimeError as error:
        return str(error)
    return ""


def marked(source: str, mark: str) -> set[int]:
    return {number for number, line in enumerate(source.splitlines(), 1) if re.search(rf"#.* {mark}\b", line)}


def told(report: WatchReport, file: Path) -> str:
    return "\n".join("; ".join(parts_told(finding, file)) for finding in report.findings)


def parts_told(finding: Finding, file: Path) -> Iterator[str]:
    yield headline(finding).partition(": ")[2]
    for row in lines_of(finding):
        path, _, line = row.where.rpartition(":")
        if row.label == "called from":
            yield from [f"called from :{line}"] if path == str(file) else []
        elif row.label == "+":
            yield f"+ {row.words}".partition("  #")[0]
        elif row.label not in {"PyTorch", "-"}:
            yield row.words.replace(str(file), "").replace(file.name, "").removeprefix("relu-demo explain ")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_marked_lines_are_named(name: str, tmp_path: Path) -> None:
    faulty, _ = faulty_and_cured(PROGRAMS[name])
    words = words_without_a_watch(faulty, tmp_path / "faulty.py")
    report, error = watched(faulty, tmp_path / "faulty.py")
    assert report.findings
    assert isinstance(error, relu_demo.InplaceError if words else dict)
    assert str(error).startswith(words.partition("inplace operation:")[0]) or not words
    if isinstance(error, relu_demo.InplaceError):
        first = error.findings[0]
        assert (error.saved, error.overwritten, error.cure) == (first.saved_by, first.overwritten_by, first.cure)
    begins = len(HEAD.lstrip().splitlines())
    found = {mark: {line for line in lines if line > begins} for mark, lines in named(report).items()}
    assert found == {mark: marked(faulty, mark) for mark in MARKS}
    for finding in report.findings:
        savers = (saver.site for saver in finding.also_saved_by)
        for site in (finding.raised_at, finding.saved_by, *savers, *(write.site for write in finding.overwritten_by)):
            assert site is None or site.source == faulty.splitlines()[site.line - 1].strip()
    assert told(report, tmp_path / "faulty.py") == TOLD[name]


@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS)
def test_in_the_cured_program_nothing_is_found_and_its_result_is_the_same_bit_for_bit(
    text: str, tmp_path: Path
) -> None:
    _, cured = faulty_and_cured(text)
    plainly = run_of(cured, tmp_path / "cured.py")
    report, names = watched(cured, tmp_path / "cured.py")
    assert report.findings == ()
    assert isinstance(names, dict)
    assert torch.equal(plainly.get("result", torch.ones(1)), names.get("result", torch.ones(1)))


EATEN_SKIP = """
class Unit(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu, self.conv = nn.ReLU(inplace=True), nn.Linear(3, 3)  #=> self.relu, self.conv = nn.ReLU(), net
    def forward(self, x):
        out = self.conv(self.relu(x))  # WRITES
        out = out * 2
        return out + x  # READS
Unit()(net(w)).sum().backward()
"""


def test_a_read_through_another_name_is_worth_a_look_and_no_finding(tmp_path: Path) -> None:
    faulty, cured = faulty_and_cured(EATEN_SKIP)
    report, _ = watched(faulty, tmp_path / "faulty.py")
    assert report.ok
    looks = [(look.written.line, look.read.line) for look in report.worth_a_look]
    assert looks == [(min(marked(faulty, "WRITES")), min(marked(faulty, "READS")))]
    assert "No fault found, 1 thing worth a look. Watched:" in str(report)
    assert [look.settle for look in report.worth_a_look] == [f"relu-demo check {tmp_path / 'faulty.py'}:Unit"]
    needs_more, _ = watched(
        faulty.replace("(self)", "(self, width)").replace("Unit()", "Unit(3)"), tmp_path / "more.py"
    )
    assert [look.settle for look in needs_more.worth_a_look] == [""]
    right, _ = watched(cured, tmp_path / "cured.py")
    assert right.worth_a_look == ()
    assert "Nothing found. Watched:" in str(right)


@pytest.mark.parametrize(("start", "looks"), [(1, 0), (0, 1)])
def test_a_view_of_another_part_reads_nothing_that_was_written_to(start: int, looks: int, tmp_path: Path) -> None:
    lines = "y = w * 2", "a = y.narrow(1, 0, 1).mul_(2)", f"b = y.narrow(1, {start}, 1).cos()"
    report, _ = watched("\n".join((HEAD, *lines)), tmp_path / "parts.py")
    assert len(report.worth_a_look) == looks


def test_a_finding_of_several_processes_whose_cure_was_tried_says_so(tmp_path: Path) -> None:
    report, _ = watched(faulty_and_cured(OVERWRITTEN["an item"])[0], tmp_path / "faulty.py")
    (finding,) = report.findings
    for works, further, says in (
        (True, 0, "write to a clone (tried: it runs, and nothing is found)"),
        (False, 1, "write to a clone (tried with 1 more edit, see --try --diff: it does not help)"),
    ):
        tried = replace(finding.cure, works=works, further=further)
        words = [row.words for row in lines_of(replace(finding, processes=2, cure=tried), watched=3)]
        assert {says, "in 2 of 3 processes"} <= {*words}
