"""
The watch as a context manager: raises InplaceError where a write in place goes wrong, and keeps what it found.

    with Watch() as watch:
        loss.backward()
    print(watch.report)

Inside another watch of the same thread it is that one once more.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType

import torch
from torch.optim import optimizer

from relu_demo.errors import BadInput
from relu_demo.sanitizer.blind import stepping_aside
from relu_demo.sanitizer.frames import is_ours
from relu_demo.watching.error import InplaceError, SilentInplaceWarning
from relu_demo.watching.faults import Fault
from relu_demo.watching.findings import findings_of
from relu_demo.watching.report import SILENT, Finding, Unwatched, WatchReport
from relu_demo.watching.told import remark, text_of_findings
from relu_demo.watching.watcher import Watcher
from relu_demo.watching.words import ready

_threads = threading.local()


class Watch:
    """Watches what this thread does inside the block. `report` is what was seen so far, and remains."""

    def __init__(self, raising: bool = True, kind: type[WatchReport] = WatchReport) -> None:
        """With `raising` False errors are those of PyTorch, and silent faults are in the report alone."""
        self.raising = raising
        self._kind = kind
        self.findings: list[Finding] = []
        self.remarks: list[str] = []
        self._watcher = Watcher(self._found)
        self._outer: Watch | None = None
        self._depth = 0
        self._stack = ExitStack()

    @property
    def report(self) -> WatchReport:
        """Return what was found, and how much was looked at."""
        if self._outer is not None:
            return self._outer.report
        seen = self._watcher.seen
        unwatched = tuple(Unwatched(what, why) for what, why in seen.unwatched)
        return self._kind(
            torch.__version__,
            None,
            tuple(self.findings),
            seen.backwards,
            seen.saved,
            seen.writes,
            unwatched,
            tuple(dict.fromkeys(self.remarks)),
        )

    def __enter__(self) -> Watch:
        if not hasattr(torch._C, "_current_graph_task_id"):
            raise BadInput(f"watching takes PyTorch 2.1 or newer, and this is {torch.__version__}")
        running: Watch | None = getattr(_threads, "watch", None)
        if running is not None:
            self._outer = running if running is not self else None
            running._depth += 1
            return self
        ready()
        with ExitStack() as stack:
            stack.enter_context(stepping_aside(self._watcher.unwatched))
            stack.enter_context(self._watcher.layers.listening())
            stack.enter_context(self._watcher.hooks.listening())
            stack.enter_context(steps_counted(self._watcher))
            stack.enter_context(self._watcher.observer)
            self._stack = stack.pop_all()
        _threads.watch = self
        self._depth = 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        running: Watch = _threads.watch
        running._depth -= 1
        if not running._depth:
            _threads.watch = None
            running._stack.close()
        if isinstance(error, InplaceError):
            _hide_our_frames(traceback)

    def _found(self, faults: tuple[Fault, ...]) -> Exception | None:
        findings = findings_of(faults, self._watcher)
        first = findings[0]
        if first.kind != SILENT:
            self.findings += findings
            if not self.raising:
                return None
            return InplaceError(findings, text_of_findings(findings))
        intended = [f for f in findings if _is_meant(f)]
        self.remarks += map(remark, intended)
        for finding in findings:
            if finding not in intended:
                self.findings.append(finding)
                self._warn(finding)
        return None

    def _warn(self, finding: Finding) -> None:
        at = finding.raised_at
        if self.raising and at is not None:
            warnings.warn_explicit(text_of_findings([finding]), SilentInplaceWarning, at.file, at.line)


@contextmanager
def steps_counted(watcher: Watcher) -> Iterator[None]:
    """Inside the block, tell a watcher when optimizers step (PyTorch 2.0 and later tell of it)."""

    def count(by: int) -> Callable[..., None]:
        def hook(*arguments: object) -> None:
            watcher.stepping += by

        return hook

    with ExitStack() as stack:
        for register, by in (("register_optimizer_step_pre_hook", 1), ("register_optimizer_step_post_hook", -1)):
            if hasattr(optimizer, register):
                stack.callback(getattr(optimizer, register)(count(by)).remove)
        yield


def _is_meant(finding: Finding) -> bool:
    """
    Whether a module edits its own parameter past autograd in a later forward than the one that saved it.

    A power iteration (spectral norm by `.data`) does so before it uses the parameter, and means it.
    """
    saver, writers = finding.saved_by, [write.site for write in finding.overwritten_by]
    owner = (finding.tensor.name or "").rpartition(".")[0]
    if not owner or saver is None or not writers:
        return False
    return all(w.module == owner == saver.module and (w.file, w.line) < (saver.file, saver.line) for w in writers)


def _hide_our_frames(traceback: TracebackType | None) -> None:
    """Take the frames of this package out of a traceback: it is the user's."""
    while traceback is not None:
        following = traceback.tb_next
        while following is not None and is_ours(following.tb_frame.f_code.co_filename):
            following = following.tb_next
        traceback.tb_next = following
        traceback = following
