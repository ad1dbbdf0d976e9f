"""The watch as a context manager: raises InplaceError where a write in place goes wrong, and keeps what it found.

    with WatchBlock() as watch:
        loss.backward()
    print(watch.report)

Inside another watch of the same thread it is that one once more.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType

import torch
import torch.fx.traceback
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import _get_current_function_mode_stack

from relu_demo.sanitizer.patches import replaced
from relu_demo.sanitizer.unsupported import stepping_aside
from relu_demo.watching.attribution import attributed, formatted, without_our_frames
from relu_demo.watching.finding_words import text_of_findings
from relu_demo.watching.report import (
    SILENT,
    Finding,
    InplaceError,
    SilentInplaceWarning,
    Unwatched,
    WatchReport,
    merged,
)
from relu_demo.watching.watcher import Seen, Watcher, entering_beside, running_engine


class WatchBlock(Seen):
    """Watches what this thread does inside the block. `report` is what was seen so far, and remains."""

    def __init__(
        self,
        raising: bool = True,
        kind: type[WatchReport] = WatchReport,
        tell: Callable[[tuple[Finding, ...]], None] = lambda new: None,
    ) -> None:
        """Make a watch. With `raising` False errors are those of PyTorch, and silent faults are in the report alone.

        `tell` is called with what is newly found, and at each backward with nothing.
        """
        super().__init__()
        self._raising, self._kind, self._tell = raising, kind, tell
        self._findings: dict[object, Finding] = {}
        """Each fault once, in order."""
        self._unwatched: dict[Unwatched, None] = {}
        self._outer: WatchBlock | None = None
        self._entered: list[ExitStack] = []
        """What ends each block of this watch; nothing inside another one."""

    @property
    def report(self) -> WatchReport:
        """Return what was found, and how much was looked at."""
        if self._outer is not None:
            return self._outer.report
        return self._kind(
            torch_version=torch.__version__,
            findings=merged(self._findings.values()),
            worth_a_look=tuple(self.aliases.found.values()),
            backwards=self.backwards,
            saved=self.saved,
            writes=self.writes,
            unwatched=tuple(self._unwatched),
        )

    def __str__(self) -> str:
        """Return the report as its class shows it."""
        return str(self.report)

    def __repr__(self) -> str:
        """Return the report in one line, if its class does."""
        return repr(self.report)

    def _repr_html_(self) -> str | None:
        """Return the report as a notebook shows it."""
        html: str | None = self.report._repr_html_()  # type: ignore[attr-defined]
        return html

    def __enter__(self) -> WatchBlock:
        modes = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
        # Of a watched process, which has this package a second time, it is another class of that name.
        running = next((each.watch for each in modes if type(each).__name__ == Watcher.__name__), None)
        with ExitStack() as stack:
            if running is None:
                stack.enter_context(stepping_aside(self.unwatched))
                stack.enter_context(self.layers.listening())
                stack.enter_context(replaced(warnings, "warn", attributed))
                stack.enter_context(replaced(torch.fx.traceback, "format_stack", formatted))
                stack.enter_context(replaced(saved_tensors_hooks, "__enter__", entering_beside))
                stack.enter_context(replaced(torch.autograd, "_engine_run_backward", running_engine))
                stack.enter_context(Watcher(self))
            self._entered.append(stack.pop_all())
        self._outer = None if running is self else running
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered.pop().close()
        if isinstance(error, InplaceError):
            without_our_frames(error)

    def enter_thread(self) -> None:
        """Watch the calling thread too, to its end."""
        Watcher(self).__enter__()

    def forget(self) -> None:
        """Begin anew in a forked process: what was found and counted before is the other one's."""
        self._findings.clear()
        self.aliases.found.clear()
        self.backwards = self.saved = self.writes = 0

    def unwatched(self, what: str, why: str) -> None:
        """Note what ran where nothing is seen."""
        self._unwatched[Unwatched(what, why)] = None

    def found(self, findings: tuple[Finding, ...]) -> Exception | None:
        """Note what was found, tell of it, and return what is to be raised."""
        found = tuple(replace(finding, backwards=self.backwards) for finding in findings)
        new = tuple(finding for finding in found if self._findings.setdefault(finding.identity, finding) is finding)
        self._tell(new)
        if not found or not self._raising:
            return None
        if found[0].kind != SILENT:
            return InplaceError(merged(found), text_of_findings(merged(found)))
        for finding in merged(new):
            at = finding.raised_at
            if at is not None:
                warnings.warn_explicit(text_of_findings([finding]), SilentInplaceWarning, at.file, at.line)
        return None
