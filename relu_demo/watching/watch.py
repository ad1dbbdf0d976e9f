"""
The watch as a context manager: raises InplaceError where a write in place goes wrong, and keeps what it found.

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

from relu_demo.sanitizer.frames import edits_for_itself
from relu_demo.sanitizer.layers import Layers
from relu_demo.sanitizer.patches import replaced
from relu_demo.sanitizer.unsupported import stepping_aside
from relu_demo.watching.attribution import attributed, formatted, without_our_frames
from relu_demo.watching.finding_words import text_of_findings
from relu_demo.watching.findings import finding_of, look_of
from relu_demo.watching.report import (
    SILENT,
    Finding,
    InplaceError,
    SilentInplaceWarning,
    Unwatched,
    WatchReport,
    WorthALook,
    merged,
)
from relu_demo.watching.rules import PAST_AUTOGRAD
from relu_demo.watching.watcher import Fault, Overwriting, Watcher, entering_beside, running_engine


class WatchBlock:
    """Watches what this thread does inside the block. `report` is what was seen so far, and remains."""

    def __init__(
        self,
        raising: bool = True,
        kind: type[WatchReport] = WatchReport,
        tell: Callable[[WatchBlock, tuple[Finding, ...]], None] | None = None,
    ) -> None:
        """
        Make a watch. With `raising` False errors are those of PyTorch, and silent faults are in the report alone.

        `tell` is called with the watch and what is newly found, and at each backward with nothing.
        """
        self.raising = raising
        self._findings: dict[object, Finding] = {}
        """Each fault once, in order."""
        self._meant: dict[WorthALook, None] = {}
        self._kind = kind
        self._tell = tell
        self._layers = Layers()
        self._watcher = Watcher(self._found)
        self._outer: WatchBlock | None = None
        self._depth = 0
        self._stack = ExitStack()

    @property
    def report(self) -> WatchReport:
        """Return what was found, and how much was looked at."""
        if self._outer is not None:
            return self._outer.report
        seen = self._watcher.seen
        return self._kind(
            torch_version=torch.__version__,
            findings=merged(self._findings.values()),
            worth_a_look=(*map(look_of, self._watcher.aliases.found.values()), *self._meant),
            backwards=seen.backwards,
            saved=seen.saved,
            writes=seen.writes,
            unwatched=tuple(Unwatched(what, why) for what, why in seen.unwatched),
        )

    def __str__(self) -> str:
        """Return the report as its class shows it."""
        return str(self.report)

    def __repr__(self) -> str:
        """Return the report in one line, if its class does."""
        return repr(self.report)

    def _repr_html_(self) -> str | None:
        """Return the report as a notebook shows it; None if its class does not."""
        html: Callable[[], str] | None = getattr(self.report, "_repr_html_", None)
        return html() if html is not None else None

    @property
    def backwards(self) -> int:
        """Return how many backward passes have begun."""
        return self._watcher.seen.backwards

    def __enter__(self) -> WatchBlock:
        modes = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
        # Of a watched process, which has this package a second time, it is another class of that name.
        running = next((each for each in modes if type(each).__name__ == Watcher.__name__), None)
        if running is not None:
            self._outer = running.watch if running.watch is not self else None
            running.watch._depth += 1
            return self
        with ExitStack() as stack:
            stack.enter_context(stepping_aside(self.unwatched))
            stack.enter_context(self._layers.listening())
            stack.enter_context(replaced(warnings, "warn", attributed))
            stack.enter_context(replaced(torch.fx.traceback, "format_stack", formatted))
            stack.enter_context(replaced(saved_tensors_hooks, "__enter__", entering_beside))
            stack.enter_context(replaced(torch.autograd, "_engine_run_backward", running_engine))
            stack.enter_context(self._watcher)
            self._stack = stack.pop_all()
        self._watcher.watch = self
        self._depth = 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        running = self._outer or self
        running._depth -= 1
        if not running._depth:
            running._stack.close()
        if isinstance(error, InplaceError):
            without_our_frames(error)

    def enter_thread(self) -> None:
        """Watch the calling thread too, to its end."""
        self._watcher.for_thread().__enter__()

    def forget(self) -> None:
        """Begin anew in a forked process: what was found and counted before is the other one's."""
        self._findings.clear()
        self._meant.clear()
        seen = self._watcher.seen
        seen.backwards = seen.saved = seen.writes = 0

    def unwatched(self, what: str, why: str) -> None:
        """Note what ran where nothing is seen."""
        self._watcher.seen.unwatched[what, why] = None

    def _is_meant(self, fault: Fault) -> bool:
        """Note an edit that is meant as worth a look."""
        if not is_own_edit(fault):
            return False
        found = finding_of(fault, self._layers)
        if found.overwritten_by and found.raised_at is not None:
            name = found.tensor.name or "a parameter"
            look = WorthALook(found.overwritten_by[0].site, found.raised_at, name, PAST_AUTOGRAD)
            self._meant[look] = None
        return True

    def _found(self, faults: tuple[Fault, ...]) -> Exception | None:
        count = self._watcher.seen.backwards
        told = (finding_of(fault, self._layers) for fault in faults if not self._is_meant(fault))
        found = tuple(replace(finding, backwards=count) for finding in told)
        new = tuple(finding for finding in found if self._findings.setdefault(finding.identity, finding) is finding)
        if self._tell is not None and bool(found) == bool(faults):
            self._tell(self, new)
        if not found or not self.raising:
            return None
        if found[0].kind != SILENT:
            return InplaceError(merged(found), text_of_findings(merged(found)))
        for finding in merged(new):
            at = finding.raised_at
            if at is not None:
                warnings.warn_explicit(text_of_findings([finding]), SilentInplaceWarning, at.file, at.line)
        return None


def is_own_edit(fault: Fault) -> bool:
    """
    Return whether a module edits past autograd what it saves further below, in a later forward than the one that saved.

    A power iteration (spectral norm by `.data`) does so, and means it.
    """
    if not isinstance(fault, Overwriting) or fault.loud or fault.saved.site.module is None:
        return False
    module, edits = fault.saved.site.module(), [write.site for write in fault.writes]
    if not edits or any(edit.module is None or edit.module() is not module for edit in edits):
        return False
    return all(edits_for_itself(edit.frames, fault.saved.site.frames) for edit in edits)
