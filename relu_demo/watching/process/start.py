"""Starts the user's program with the watch in it, and reads what that has found. Imports no torch.

report = run_watched(request, ["python", "train.py"], to_stderr=False)
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from relu_demo.edits.edit import diff, united
from relu_demo.request import Watch
from relu_demo.watching.report import Finding, Missing, Unwatched, WatchReport, WorthALook, merged

WATCH_VARIABLE = "RELU_DEMO_WATCH"
"""The environment variable that tells a process the folder for its findings."""
_HERE = os.path.dirname(os.path.abspath(__file__))
_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


def run_watched(request: Watch, command: Sequence[str], to_stderr: bool) -> WatchReport:
    """Run a command line with the watch in every Python process of it, and wait for its end.

    With `to_stderr` the program's standard output goes to standard error. Raise OSError if it cannot be started.
    """
    folder = tempfile.mkdtemp(prefix="relu-demo-watch-")  # mode 0700
    try:
        code = _waited(command, environment(folder), to_stderr)
        lines = lines_of_run(folder)
    finally:
        for _ in range(10):  # a process of the program may run on, and write
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.exists(folder):
                break
    report = report_of(lines)
    try:
        patch = diff(united(finding.cure.edits for finding in report.findings))
    except (OSError, ValueError):  # a file is gone, or was changed meanwhile
        patch = ""
    return replace(report, request=request, exit_code=code if code >= 0 else 128 - code, patch=patch)


def environment(folder: str) -> dict[str, str]:
    """Return the environment of a program whose processes write what they find to a folder."""
    own = os.environ.get("PYTHONPATH")
    path = _HERE if not own else os.pathsep.join([_HERE, own])
    return {**os.environ, "PYTHONPATH": path, WATCH_VARIABLE: folder}


def _waited(command: Sequence[str], environment: Mapping[str, str], to_stderr: bool) -> int:
    """Run the command and return its exit code. Signals go to it; a terminal's Ctrl-C reaches it by itself."""

    def forward(number: int, frame: object) -> None:
        if number != signal.SIGINT or not _is_in_foreground():
            process.send_signal(number)

    numbers = [getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    stdout = None if not to_stderr else subprocess.DEVNULL if sys.stderr is None else 2
    process = subprocess.Popen(command, env=environment, stdout=stdout)
    try:
        for number in numbers:
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, forward)
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def lines_of_run(folder: str) -> list[dict[str, Any]]:
    """Return what all processes of a program have written so far."""
    lines = []
    for path in sorted(Path(folder).glob("*.jsonl")):
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):  # a process that was killed while it wrote
                lines.append(json.loads(text))
    return lines


def _is_in_foreground() -> bool:
    """Return whether the terminal's Ctrl-C goes to all processes of this one's group."""
    if sys.platform == "win32":  # its Ctrl-C goes to all
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


def report_of(lines: Sequence[Mapping[str, Any]]) -> WatchReport:
    """Return one report of what all processes have written: a finding of several is told once."""
    found: dict[object, tuple[Finding, set[int]]] = {}
    looks: dict[WorthALook, None] = {}
    unwatched: dict[Unwatched, None] = {}
    seen: dict[int, Mapping[str, Any]] = {}
    for line in lines:
        if line["event"] == "finding":
            finding = made_again(Finding, line["finding"])
            found.setdefault(finding.identity, (finding, set()))[1].add(line["pid"])
        elif line["event"] == "unwatched":
            unwatched[Unwatched(line["what"], line["why"])] = None
        elif line["event"] == "seen":
            seen[line["pid"]] = line
            unwatched.update((Unwatched(**each), None) for each in line["unwatched"])
            looks.update((made_again(WorthALook, each), None) for each in line["worth_a_look"])
    watching = {line["pid"]: line["torch"] for line in lines if line["event"] == "watching"}
    # A launcher imports torch and computes nothing.
    counted = {pid for pid, line in seen.items() if line["backwards"] or line["saved"] or line["writes"]}
    computing = counted.union(*(pids for _, pids in found.values())) & watching.keys()
    return WatchReport(
        torch_version=next(iter(watching.values()), ""),
        missing=tuple(Missing(line["name"], line["python"]) for line in lines if line["event"] == "missing"),
        findings=merged(replace(finding, processes=len(pids)) for finding, pids in found.values()),
        worth_a_look=tuple(looks),
        unwatched=tuple(unwatched),
        processes=len(computing or watching),
        **{name: sum(line[name] for line in seen.values()) for name in ("backwards", "saved", "writes")},
    )


def made_again(kind: Any, data: Any) -> Any:
    """Return what `dataclasses.asdict` has made plain, and JSON has taken the tuples of: a value of a type."""
    if data is None:
        return None
    parts = get_args(kind)
    if get_origin(kind) is tuple:
        return tuple(made_again(parts[0], each) for each in data)
    made: Any = next(filter(is_dataclass, (*parts, kind)), None)  # of `Site | None`
    if made is None:
        return data
    return made(**{name: made_again(hint, data[name]) for name, hint in get_type_hints(made).items()})
