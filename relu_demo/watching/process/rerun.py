"""Tries the cures of a watch: runs the program from the edited sources, in memory, until nothing is found.

report = tried(report, ["python", "train.py"])
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from relu_demo.edits.edit import edited, patch, united
from relu_demo.edits.trial import write_for_trial
from relu_demo.watching.process.start import environment, lines_of_run, report_of
from relu_demo.watching.report import Finding, WatchReport

ROUNDS = 5
"""Runs at most: each with the edits for what the one before has shown."""
PATIENCE = 20.0
"""Seconds after which a run is ended once it is past the backward pass that the finding was in."""


def tried(report: WatchReport, command: Sequence[str]) -> WatchReport:
    """Return the report with each cure that is an edit tried: whether the program ran with all of them.

    A run has helped if nothing is found in it and it ends well, or is past the last backward pass of the findings.
    """
    texts: dict[str, bytes] = {}
    left: Sequence[Finding] = report.findings
    helps, further = False, 0
    past = max((finding.backwards for finding in report.findings), default=0)
    for _ in range(ROUNDS):
        edits = united(finding.cure.edits for finding in left)
        if not edits:
            break
        further += len(edits) if texts else 0
        try:
            texts = edited(edits, texts)
        except (OSError, ValueError):
            break
        found, ended_well = _ran_again(command, texts, past)
        left = found.findings
        if not left:
            helps = ended_well
            break
    findings = tuple(
        replace(finding, cure=replace(finding.cure, works=helps, further=further))
        if finding.cure.edits and texts
        else finding
        for finding in report.findings
    )
    return replace(report, findings=findings, patch=patch(texts) if helps else "" if texts else report.patch)


def _ran_again(command: Sequence[str], texts: Mapping[str, bytes], past: int) -> tuple[WatchReport, bool]:
    """Run the program from these sources, unseen. Return what is found, and whether it ended well or was past."""
    with tempfile.TemporaryDirectory(prefix="relu-demo-watch-", ignore_cleanup_errors=True) as folder:
        variables = {**environment(folder), **write_for_trial(texts, folder)}
        nowhere = subprocess.DEVNULL
        process = subprocess.Popen(
            command, env=variables, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=os.name == "posix"
        )
        began, was_past = time.monotonic(), False
        while process.poll() is None:
            time.sleep(0.05)
            if time.monotonic() - began > PATIENCE and report_of(lines_of_run(folder)).backwards > past:
                was_past = True
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
        return report_of(lines_of_run(folder)), was_past or process.returncode == 0
