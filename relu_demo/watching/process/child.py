"""What the watch does in a process of the watched program: it writes each finding to a file as it is found."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from relu_demo.watching.attribution import without_our_frames
from relu_demo.watching.report import Finding
from relu_demo.watching.watch import WatchBlock

Append = Callable[[str, dict[str, Any]], None]
"""Appends a line to this process's file in a folder."""


def begin(folder: str, write: Append) -> None:
    """Watch this process from now on, with all threads that begin later, and write to `folder` what is found."""

    def tell(found: tuple[Finding, ...]) -> None:
        for finding in found:
            write(folder, {"event": "finding", "finding": asdict(finding)})
        # A process that ends by os._exit says nothing at its end: the counts are told now and then.
        if found or os.environ.get("RELU_DEMO_EDITS") or watch.backwards.bit_count() == 1:
            tell_counts()

    def tell_counts() -> None:
        report = watch.report
        told = {name: getattr(report, name) for name in ("backwards", "saved", "writes")}
        told["unwatched"] = [asdict(each) for each in report.unwatched]
        told["worth_a_look"] = [asdict(each) for each in report.worth_a_look]
        write(folder, {"event": "seen", **told})

    def tell_process() -> None:
        write(folder, {"event": "watching", "torch": str(torch.__version__)})

    def forked() -> None:
        watch.forget()
        tell_process()

    watch = WatchBlock(raising=False, tell=tell)
    watch.__enter__()
    tell_process()
    atexit.register(tell_counts)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forked)
    _watch_threads(watch)
    _clean_tracebacks()


def _watch_threads(watch: WatchBlock) -> None:
    """Watch each thread from its first call on. A program that sets a profiler of its own has no watched threads."""

    def entered(*event: object) -> None:
        sys.setprofile(None)
        watch.enter_thread()

    threading.setprofile(entered)


def _clean_tracebacks() -> None:
    """Show the traceback of an exception that nobody caught as it is without a watch."""
    owner: Any
    for owner in (sys, threading):
        before = owner.excepthook

        def hook(*given: Any, before: Any = before) -> None:
            error = given[1] if len(given) == 3 else given[0].exc_value
            if error is not None:
                without_our_frames(error)
            if len(given) == 3:
                given = (*given[:2], error.__traceback__)
            before(*given)

        owner.excepthook = hook
