"""Warnings and tracebacks that name the user's lines, as they do without a watch.

Under a function mode, Python attributes a warning of PyTorch's to the frame of the mode, and a traceback shows that
frame. So a function of C is called from a frame that has the file, the line and the globals of its caller; the frames
through which PyTorch calls a mode are left out where a `stacklevel` is counted, and taken out of a traceback.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from traceback import StackSummary
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any

from relu_demo.sanitizer.frames import is_ours

STAND_IN = "<relu-demo call>"
"""Name of the code that stands in for the caller of a function of C."""
MOST_STAND_INS = 20_000
"""Calls whose stand-in is kept: code that is made as the program runs has ever new lines."""

_CALLER = (lambda function, args, kwargs: function(*args, **kwargs)).__code__
_HANDLE = "handle_torch_function"

StandIn = Callable[[Any, Any, Any], Any]
_stand_ins: dict[tuple[int, int], tuple[StandIn, dict[str, Any], CodeType]] = {}

passing_on: set[CodeType] = set()
"""The code of the mode, through whose frame each call goes."""


def calling_from(frame: FrameType) -> StandIn:
    """Return what calls a function of C from a frame with the file, the line and the globals of `frame`."""
    code, names = frame.f_code, frame.f_globals
    # Code is compared by its content: its id is meant, which is its own as long as it is kept.
    key = (id(code), frame.f_lasti)
    known = _stand_ins.get(key)
    if known is None or known[1] is not names:
        if len(_stand_ins) >= MOST_STAND_INS:
            _stand_ins.clear()
        here = _CALLER.replace(co_filename=code.co_filename, co_name=STAND_IN, co_firstlineno=frame.f_lineno or 1)
        known = _stand_ins[key] = FunctionType(here, names), names, code
    return known[0]


def _without_mode(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield the frames from `frame` outwards that would be there without a mode."""
    while frame is not None:
        back = frame.f_back
        if frame.f_code in passing_on:
            # A Python function calls `handle_torch_function`, which calls the mode, which calls the function again.
            while back is not None and back.f_code in passing_on:
                back = back.f_back
            if back is not None and back.f_code.co_name == _HANDLE and back.f_back is not None:
                back = back.f_back.f_back
        elif frame.f_code.co_name != STAND_IN:
            yield frame
        frame = back


def level_without_mode(stacklevel: int, frame: FrameType | None) -> int:
    """Return the `stacklevel` that names, with the frames of a mode between, what the given one names without."""
    wanted = next(islice(_without_mode(frame), max(stacklevel - 1, 0), None), None)
    level = 1
    while frame is not None and frame is not wanted:
        level += 1
        frame = frame.f_back
    return level


def attributed(original: Any) -> Any:
    """Return what takes the place of `warnings.warn`: it counts a `stacklevel` without the frames of a mode."""

    @functools.wraps(original)
    def warn(message: Any, category: Any = None, stacklevel: int = 1, *args: Any, **kwargs: Any) -> None:
        level = level_without_mode(stacklevel, sys._getframe(1))
        original(message, category, level + 1, *args, **kwargs)

    return warn


def formatted(original: Any) -> Any:
    """Return what takes the place of torch.fx.traceback's `format_stack`, which anomaly mode asks in a forward."""

    @functools.wraps(original)
    def format_stack() -> list[str]:
        if original.__globals__["should_preserve_node_meta"]:
            kept: list[str] = original()
            return kept
        frames = [(frame, frame.f_lineno) for frame in _without_mode(sys._getframe(1))]
        return StackSummary.extract(reversed(frames)).format()

    return format_stack


def without_our_frames(error: BaseException) -> None:
    """Take the frames of a mode out of the tracebacks of an exception and of all that it came from."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = _users(one.__traceback__)
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def _users(trace: TracebackType | None) -> TracebackType | None:
    kept: list[TracebackType] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if code in passing_on and kept and kept[-1].tb_frame.f_code.co_name == _HANDLE:
            del kept[-2:]
        elif code.co_name != STAND_IN and not is_ours(code.co_filename):
            kept.append(trace)
        trace = trace.tb_next
    below: TracebackType | None = None
    for one in reversed(kept):
        one.tb_next = below
        below = one
    return below
