"""Small programs with one fault each: the watch names the lines that are marked in them, and the cured one has none."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.marked import CASES, marked, program, watched
from support.tiers import slow_but

import relu_demo
from relu_demo.watching.report import REFUSED, WatchReport

LOOKS = sorted((Path(__file__).parent / "looks").glob("*.py"))
"""What is worth a look and no finding: comments stand where it WRITES and where it READS."""


def named(report: WatchReport) -> dict[str, set[int]]:
    """The lines that the report names, by the marks that they should have."""
    lines: dict[str, set[int]] = {"SAVES": set(), "WRITES": set(), "RAISES": set()}
    for finding in report.findings:
        at, by = finding.raised_at, finding.saved_by
        assert at is not None
        lines["SAVES"] |= {by.line} if by else set()
        lines["WRITES"] |= {write.site.line for write in finding.overwritten_by}
        at_the_write = finding.kind == REFUSED and not finding.overwritten_by and "backward" not in at.operation
        lines["WRITES" if at_the_write else "RAISES"] |= {at.line}
    return lines


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_marked_lines_are_named(path: Path) -> None:
    report, _ = watched(path, fixed=False)
    assert report.findings
    assert named(report) == {mark: marked(path, mark) for mark in ("SAVES", "WRITES", "RAISES")}
    for finding in report.findings:
        for site in (finding.raised_at, finding.saved_by, *(write.site for write in finding.overwritten_by)):
            assert site is None or site.source == path.read_text().splitlines()[site.line - 1].strip()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_in_the_cured_program_nothing_is_found(path: Path) -> None:
    report, error = watched(path, fixed=True)
    assert report.findings == ()
    assert error is None


@pytest.mark.parametrize("path", slow_but(8, CASES), ids=lambda path: path.stem)
def test_the_error_begins_with_the_words_that_pytorch_itself_says(path: Path) -> None:
    words = ""
    try:
        program(path).scenario(fixed=False)
    except RuntimeError as plain:
        words = str(plain)
    _, error = watched(path, fixed=False)
    if words:
        assert isinstance(error, relu_demo.InplaceError)
        assert isinstance(error, RuntimeError)
        assert str(error).startswith(words.partition("inplace operation:")[0])
    else:
        assert error is None


@pytest.mark.parametrize("path", LOOKS, ids=lambda path: path.stem)
def test_a_read_through_another_name_is_worth_a_look_and_no_finding(path: Path) -> None:
    report, error = watched(path, fixed=False)
    assert error is None
    assert report.ok
    looks = [(look.written.line, look.read.line) for look in report.worth_a_look]
    assert looks == [(min(marked(path, "WRITES")), min(marked(path, "READS")))]
    assert watched(path, fixed=True)[0].worth_a_look == ()


def test_a_write_to_another_part_of_the_memory_is_told_so() -> None:
    report, _ = watched(next(path for path in CASES if path.stem == "coupling_layer"), fixed=False)
    assert [write.elsewhere for write in report.findings[0].overwritten_by] == [True]
    assert "wrote another part of that memory" in str(report)
