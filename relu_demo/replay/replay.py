"""The replay: runs a session line by line and records, after each line, the state of every tensor."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from relu_demo.errors import LineError, lacks_memory
from relu_demo.replay.recorder import Recorder
from relu_demo.replay.trace import Look, Step, TensorState, Trace, TracedPart
from relu_demo.session.lines import Line, Session


def replay(session: Session) -> Trace:
    """Run every line of `session`, in order, in one namespace, and return what was recorded.

    Values are copied after each line, and listed as the session's request asks. Every recorded object stays alive as
    long as the trace, since an `id` or an address can be given to another object once its own is gone
    (Python documentation, `id`).

    Raise LineError where a line raises and should not.
    """
    *_, trace = traces(session)
    return trace


def traces(session: Session) -> Iterator[Trace]:
    """Yield the trace so far, before the first line and after each: a line runs when the trace after it is asked for.

    The last trace is what `replay` returns. Raise LineError where a line raises and should not.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    recorder = Recorder(session.request.listed)
    before: dict[str, TensorState] = {}
    parts: dict[str, TracedPart] = {}
    yield Trace(session, torch.__version__, {}, ())
    for part in session.parts:
        steps: list[Step] = []
        looks: dict[str, Look] = {}
        parts[part.key] = TracedPart(part.key, part.title, (), looks, part.reference)
        for line in part.lines:
            output, error, warned = run_line(line, namespace)
            after = recorder.look(namespace)
            changed = {name: state for name, state in after.items() if state != before.get(name)}
            steps.append(Step(line, output, after, changed, error, warned))
            if line.moment and line.source in after:  # there is no gradient where backward() raised
                reference = reference_look(parts[part.key], line.moment.key, parts)
                looks[line.moment.key] = recorder.compare(line.moment, after[line.source], reference)
            before = after
            parts[part.key] = TracedPart(part.key, part.title, tuple(steps), dict(looks), part.reference)
            yield Trace(session, torch.__version__, dict(parts), tuple(recorder.alive))


def reference_look(part: TracedPart, moment: str, parts: Mapping[str, TracedPart]) -> Look | None:
    """Return the look that the look at a moment of `part` is compared with, or None if there is none."""
    if part.reference == part.key:
        return next(iter(part.moments.values()), None)
    return parts[part.reference].moments.get(moment) if part.reference in parts else None


def run_line(line: Line, namespace: dict[str, Any]) -> tuple[str, str | None, tuple[str, ...]]:
    """Run a line as the interactive interpreter does. Return what that prints, the error's message, the warnings.

    A traceback is shortened to its first and its last line, as in Python's own documentation; warnings do not reach
    stderr. Raise LineError where a line raises and should not, and for lack of memory.
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
