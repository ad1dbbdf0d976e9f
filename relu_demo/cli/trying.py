"""Tries the cures of a check: a fresh process builds the network from the edited source, and checks it.

The edited source stays in memory (`edits.trial`).
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from relu_demo.edits.edit import Cure, edited, united
from relu_demo.edits.trial import write_for_trial
from relu_demo.network.report import Call, CheckReport, HarmfulWrite
from relu_demo.request import Check, command_line

FaultRow = tuple[str, ...]
"""What a fault is known by before and after an edit, which moves lines: its source, and who is at fault there."""
_RAISES: FaultRow = ("the edited network raises",)


@dataclass(frozen=True)
class Trial:
    """Where a trial runs: made before the user's code can change that."""

    request: Check
    folder: str = field(default_factory=os.getcwd)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    began: float = field(default_factory=time.monotonic)

    def of(self, report: CheckReport) -> CheckReport:
        """Return a report whose cures with edits say whether they work, where that could be tried."""
        cures = [cure for cure in report.cures if cure.edits]
        patience = 60.0 + 5.0 * (time.monotonic() - self.began)  # seconds; the check itself has taken the difference
        found = self._faults(cures, patience) if cures else None
        # A network that was not built has not been run with this input either; of several cures one is none, and which
        # is not known.
        if found is None or (_RAISES in found and (len(cures) > 1 or not report.forwards)):
            return report
        works = {cure: _is_gone(cure, report, found) for cure in cures}

        def known(cure: Cure | None) -> Any:
            return replace(cure, works=works[cure]) if cure in works else cure

        return replace(
            report,
            calls=tuple(replace(call, cure=known(call.cure)) for call in report.calls),
            harmful_writes=tuple(replace(write, cure=known(write.cure)) for write in report.harmful_writes),
            safe_when_cured=not found,
        )

    def _faults(self, cures: Sequence[Cure], patience: float) -> set[FaultRow] | None:
        """Return what a check of the network with these cures finds; None where it gives no answer."""
        with suppress(OSError, ValueError, subprocess.TimeoutExpired), tempfile.TemporaryDirectory() as folder:
            texts = edited(united(cure.edits for cure in cures))
            words = shlex.split(command_line(self.request))
            words = words[words.index(Check.scenario) :]  # the words that start it may be several
            done = subprocess.run(
                [sys.executable, "-m", "relu_demo", *words, "--json"],
                cwd=self.folder,
                env={**self.environment, **_found_here(self.environment), **write_for_trial(texts, folder)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=patience,
            )
            if done.returncode == 2:
                return {_RAISES}
            document = json.loads(done.stdout)
            rows = [row for row in document["calls"] if not row["safe"]] + document["harmful_writes"]
            faults: set[FaultRow] = {(row["source"], row["place"]["operation"], row["place"]["module"]) for row in rows}
            return faults or {("the network as a whole",)} if done.returncode == 1 else set()
        return None


def _found_here(environment: Mapping[str, str]) -> dict[str, str]:
    """Return where Python finds this package, if that is not where packages are installed."""
    package = Path(__file__).parents[2]
    if package.name in ("site-packages", "dist-packages"):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (environment.get("PYTHONPATH"), str(package))))}


def _is_gone(cure: Cure, report: CheckReport, found: set[FaultRow]) -> bool:
    rows: list[Call | HarmfulWrite] = [*report.calls]
    rows += report.harmful_writes
    named = [((row.source, row.place.operation, row.place.module), row) for row in rows]
    own = {name for name, row in named if row.cure == cure}
    together = any(isinstance(row, Call) and row.safe for _, row in named if row.cure == cure)
    # A fault may have moved to a line that the cure has edited, on which others may have stood before.
    lines = [(line[:1], line[1:].strip()) for line in (cure.diff or "").splitlines()]
    others = {name for name, row in named if row.cure != cure and ("-", row.source) in lines}
    moved = sum(("+", name[0]) in lines for name in found - {name for name, _ in named}) > len(others)
    return own.isdisjoint(found) and _RAISES not in found and not (moved or (together and found))
