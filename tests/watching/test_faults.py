"""Small programs with one fault each: the watch names the lines that are marked in them, and the cured one has none."""

from __future__ import annotations

import re
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
from relu_demo.watching.report import WatchReport

PROGRAMS = {**OVERWRITTEN, **SILENT, **REFUSED, **SURROUNDED, **SAID}
MARKS = ("SAVES", "WRITES", "RAISES")


def named(report: WatchReport) -> dict[str, set[int]]:
    """The lines that the report names, by the marks that they should have."""
    lines: dict[str, set[int]] = {mark: set() for mark in MARKS}
    for finding in report.findings:
        at, by = finding.raised_at, finding.saved_by
        assert at is not None
        lines["SAVES"] |= {by.line} if by else set()
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


@pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS)
def test_the_marked_lines_are_named(text: str, tmp_path: Path) -> None:
    faulty, _ = faulty_and_cured(text)
    words = words_without_a_watch(faulty, tmp_path / "faulty.py")
    report, error = watched(faulty, tmp_path / "faulty.py")
    assert report.findings
    assert isinstance(error, relu_demo.InplaceError if words else dict)
    assert str(error).startswith(words.partition("inplace operation:")[0]) or not words
    begins = len(HEAD.lstrip().splitlines())
    found = {mark: {line for line in lines if line > begins} for mark, lines in named(report).items()}
    assert found == {mark: marked(faulty, mark) for mark in MARKS}
    for finding in report.findings:
        for site in (finding.raised_at, finding.saved_by, *(write.site for write in finding.overwritten_by)):
            assert site is None or site.source == faulty.splitlines()[site.line - 1].strip()


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
    right, _ = watched(cured, tmp_path / "cured.py")
    assert right.worth_a_look == ()
    assert "Nothing found. Watched:" in str(right)


def test_a_write_to_another_part_of_the_memory_is_told_so(tmp_path: Path) -> None:
    faulty, _ = faulty_and_cured(SURROUNDED["one half of a tensor and then the other"])
    report, _ = watched(faulty, tmp_path / "faulty.py")
    assert [write.elsewhere for write in report.findings[0].overwritten_by] == [True]
    assert "wrote another part of that memory" in str(report)


def test_an_item_of_a_leaf_is_the_view_that_is_written_to(tmp_path: Path) -> None:
    faulty, _ = faulty_and_cured("leaf = torch.zeros(3, requires_grad=True)\nleaf[0] = 1.0\n")
    report, _ = watched(faulty, tmp_path / "faulty.py")
    (finding,) = report.findings
    assert "leaf[0] is a view of a leaf that requires grad" in str(report)
    assert finding.saved_by is None


def test_two_layers_that_saved_on_one_line_are_not_told_as_one(tmp_path: Path) -> None:
    text = """
first, second = nn.Linear(3, 3), nn.Linear(3, 1)
both = nn.Sequential(first, second)
score = both(w * torch.ones(3, requires_grad=True)).sum()
with torch.no_grad():
    for each in (first.weight, second.weight): each.mul_(2)
score.backward()
"""
    report, _ = watched(faulty_and_cured(text)[0], tmp_path / "faulty.py")
    (finding,) = report.findings
    assert {tensor.shape for tensor in finding.tensors} == {(3, 3), (1, 3)}
    assert finding.saved_by is not None
    assert (finding.saved_by.operation, finding.saved_by.module) == ("linear", "")
