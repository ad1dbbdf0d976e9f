"""`check`: the user's network is loaded and run, and standard output is kept free for the report."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from typing import TextIO

from relu_demo.cli.command import Asked
from relu_demo.cli.output import deliver, progress_bar, save
from relu_demo.cli.targets import find_network
from relu_demo.cli.trying import Trial
from relu_demo.edits.trial import serve_if_asked
from relu_demo.machine.pytorch import load_torch
from relu_demo.request import Check
from relu_demo.views import writer_of


def run_check(asked: Asked, request: Check) -> int:
    """Load the network of a request, check it, report, and return the exit code.

    The network's folder comes first in `sys.path`, and may have a `rich.py`: what a report needs is imported before.
    """
    find_network(request.target)
    load_torch()
    from relu_demo import scenarios

    # These views do not tell whether a cure was tried.
    trial = None if serve_if_asked() or asked.view in ("quiet", "diff") else Trial(request)
    writer_of(asked.view)
    streams, folder, modules = (sys.stdout, sys.stderr), os.getcwd(), dict(sys.modules)
    out, ours = _stdout_for_report(), sys.path
    sys.path = theirs = list(ours)
    try:
        with progress_bar("Checking") as progress:
            report = scenarios.checked(request, progress)
    finally:
        sys.stdout, sys.stderr = streams
    # What is not imported yet is ours now, and nothing of the user's steers the report.
    sys.path, theirs = ours, sys.path
    sys.modules.update(modules)
    with suppress(OSError):  # the folder is gone
        os.chdir(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if trial is not None:
            with progress_bar("Trying the cures"):
                report = trial.of(report)
        if asked.save:
            save(report, asked.view, asked.save, asked.light)
        else:
            deliver(report, asked.view, out)
    sys.path = theirs
    if out is not None and out is not sys.stdout:  # or Python says at its end that nobody reads on
        with suppress(OSError):
            out.close()
    return 0 if report.ok else 1 if report.has_fault else 3


def _stdout_for_report() -> TextIO | None:
    """Point descriptor 1 at 2, for good, and return a stream on what it was: a thread of the network may live on.

    `sys.stdout` itself where it is not the process's own.
    """
    stdout = sys.stdout
    with suppress(OSError, ValueError, AttributeError):
        if stdout.fileno() == 1:
            stdout.flush()
            kept = os.fdopen(os.dup(1), "w", encoding=stdout.encoding, errors="backslashreplace")
            os.dup2(2, 1)
            stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
            return kept
    return stdout
