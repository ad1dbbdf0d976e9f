"""The replay: runs a session line by line and records, after each line, the state of every tensor."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from relu_demo.errors import LineError, lacks_memory
from relu_demo.replay.recorder import Recorder
from relu_demo.replay.trace import Look, Step, TensorState, Trace, TracedPart
from relu_demo.session.lines import Line, Session


def replay(session: Session) -> Trace:
    """Runs every line of `session`, in order, in one namespace, and gives what was seen.

    Values are copied at the moment of looking, and listed as the session's request asks. Every object that was
    looked at stays alive as long as the trace does, since an `id` or an address says nothing about an object that is
    gone (Python documentation, `id`).

    Raises LineError where a line raises that is not expected to.
    """
    *_, trace = traces(session)
    return trace


def traces(session: Session) -> Iterator[Trace]:
    """The trace so far, before the first line and after each: a line runs when the trace after it is asked for.

    The last is what `replay` gives. Raises LineError where a line raises that is not expected to.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    recorder = Recorder(session.request.listed)
    before: dict[str, TensorState] = {}
    parts: dict[str, TracedPart] = {}
    yield Trace(session, torch.__version__, (), ())
    for part in session.parts:
        steps: list[Step] = []
        looks: dict[str, Look] = {}
        so_far = TracedPart(part.key, part.title, (), looks, part.reference)
        for line in part.lines:
            output, error, warned = run_line(line, namespace)
            after = recorder.look(namespace)
            changed = tuple(name for name in after if after[name] != before.get(name))
            steps.append(Step(line, output, after, changed, error, warned))
            if line.moment and line.source in after:  # there is no gradient where backward() raised
                other = next(iter(looks.values()), None) if part.reference == part.key else None
                if part.reference in parts:
                    other = parts[part.reference].looks.get(line.moment.key)
                looks[line.moment.key] = recorder.compare(line.moment, after[line.source], other)
            before = after
            so_far = TracedPart(part.key, part.title, tuple(steps), dict(looks), part.reference)
            yield Trace(session, torch.__version__, (*parts.values(), so_far), tuple(recorder.alive))
        parts[part.key] = so_far


def run_line(line: Line, namespace: dict[str, Any]) -> tuple[str, str | None, tuple[str, ...]]:
    """Runs a line as the interactive interpreter would: what that would have printed, what it raised, its warnings.

    Of a traceback only the first and the last line are given, as in Python's own documentation; warnings are kept from
    stderr. Raises LineError where a line raises that is not expected to, or for want of memory.
    """
    printed = io.StringIO()
    error: str | None = None

    def display(value: object) -> None:
        if value is not None:
            print(repr(value), file=printed)

    hook, sys.displayhook = sys.displayhook, display
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            exec(compile(line.source + "\n", "<session>", "single"), namespace)
    except Exception as raised:
        if not line.raises or lacks_memory(raised):
            raise LineError(line.source, raised) from raised
        error = str(raised)
        print(f"Traceback (most recent call last):\n  ...\n{type(raised).__name__}: {error}", file=printed)
    finally:
        sys.displayhook = hook
    return printed.getvalue(), error, tuple(str(warning.message) for warning in warned)
