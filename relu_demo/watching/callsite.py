"""Where an operation of PyTorch was called: the frames of the user's code, noted cheaply and read later."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from types import CodeType, FrameType
from typing import NamedTuple

import torch
from torch import nn

from relu_demo.sanitizer.frames import is_users
from relu_demo.watching.attribution import STAND_IN

NEAREST = 4
"""Frames of the user's code that are noted of a saved tensor, from the innermost on."""
DEEPEST = 40
"""Frames that are looked through for them, PyTorch's own included: a recursion may be thousands deep."""

_OTHER, _USER, _MODULE, _OPTIMIZER, _FUNCTION = range(5)
_KINDS: dict[str, int] = {
    os.path.join(torch.__path__[0], *parts): kind
    for parts, kind in (
        (("nn", "modules", "module.py"), _MODULE),
        (("optim", "optimizer.py"), _OPTIMIZER),
        (("autograd", "function.py"), _FUNCTION),
    )
}
"""What a frame tells, by the file of its code."""
_MODULE_CALL = nn.Module._call_impl.__code__


def _nothing() -> None:
    """Give no module."""


class CallSite(NamedTuple):
    """One operation with the calls that led to it."""

    operation: str
    """PyTorch's own name: `relu`, `__iadd__`; `step` of an optimizer; the class of a custom autograd.Function."""
    frames: tuple[tuple[CodeType, int], ...]
    """The user's code and the instruction that runs (a frame's `f_lasti`), the innermost first."""
    module: Callable[[], nn.Module | None] = _nothing
    """Gives the innermost module that is being called, while that is alive."""
    optimizer: str = ""
    """Class of the optimizer whose `step()` runs."""
    function: type | None = None
    """The custom autograd.Function that is being applied."""


def call_site(operation: str, frame: FrameType | None, whole: bool = False) -> CallSite:
    """
    Return where the operation stands that this thread runs, from `frame` outwards.

    With `whole` note all frames of the user's code, else the NEAREST.
    """
    frames: list[tuple[CodeType, int]] = []
    module: Callable[[], nn.Module | None] = _nothing
    optimizer, function, steps = "", None, 0
    while frame is not None:
        code = frame.f_code
        kind = _KINDS.get(code.co_filename)
        if kind == _OTHER:
            pass
        elif kind == _USER:
            if code.co_name != STAND_IN:
                frames.append((code, frame.f_lasti))
                if len(frames) == NEAREST and not whole:
                    break
        elif kind is None:
            _KINDS[code.co_filename] = _USER if is_users(code.co_filename) else _OTHER
            continue
        elif code is _MODULE_CALL:
            module = weakref.ref(frame.f_locals["self"]) if module is _nothing else module
        elif not frames:
            optimizer = optimizer or _optimizer_of(frame)
            function = function or (None if operation else _function_of(frame))
        steps += 1
        if steps > DEEPEST and frames and not whole:
            break
        frame = frame.f_back
    operation = "step" if optimizer else operation or (function.__name__ if function is not None else "")
    return CallSite(operation, tuple(frames), module, optimizer, function)


def _optimizer_of(frame: FrameType) -> str:
    """Return the class of the optimizer whose `step()` a frame runs; empty if it runs none."""
    arguments = frame.f_locals.get("args") if frame.f_code.co_name == "wrapper" else None
    return type(arguments[0]).__name__ if arguments else ""


def _function_of(frame: FrameType) -> type | None:
    """Return the custom autograd.Function that a frame applies; None if it applies none."""
    return frame.f_locals.get("cls") if frame.f_code.co_name == "apply" else None


def user_frame(frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame of the user's code, from `frame` outwards."""
    while frame is not None and (frame.f_code.co_name == STAND_IN or not is_users(frame.f_code.co_filename)):
        frame = frame.f_back
    return frame
