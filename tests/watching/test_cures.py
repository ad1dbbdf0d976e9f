"""Every cure that is an edit is done: what comes out runs, and nothing is found in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.marked import CASES, watched

from relu_demo.edits.edit import edited, united
from relu_demo.watching.report import Finding, WatchReport

ONLY_SAID = {
    "gan",
    "hook_of_backward",
    "lstm_state",
    "negative_slope",
    "running_statistics",
    "summed_loss",
    "weight_clipping",
}
"""
Those of which no edit is right: to detach what is carried changes the training, and in three a line between depends on
`fixed`.
"""
ROUNDS = 4


def cured(path: Path, folder: Path) -> tuple[WatchReport, list[Finding]]:
    """The report on a copy of a program with the edits of each round of findings, and the findings without an edit."""
    for number in range(ROUNDS):
        copy = folder / f"round_{number}.py"
        shutil.copy(path, copy)
        report, _ = watched(copy, fixed=False)
        texts = edited(united(finding.cure.edits for finding in report.findings))
        if not texts:
            break
        path = folder / f"edited_{number}.py"
        path.write_bytes(texts[str(copy.resolve())])
    return report, [finding for finding in report.findings if not finding.cure.edits]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_with_its_edits_nothing_is_found(path: Path, tmp_path: Path) -> None:
    report, only_said = cured(path, tmp_path)
    if path.stem in ONLY_SAID:
        assert only_said
        assert all(finding.cure.says for finding in only_said)
    else:
        assert report.findings == ()
