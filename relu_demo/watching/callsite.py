"""Where an operation of PyTorch was called: the frames of the user's code, noted cheaply and read later."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from types import CodeType, FrameType
from typing import NamedTuple

import torch
from torch import nn

from relu_demo.sanitizer.frames import APPLY, CALL, is_users
from relu_demo.watching.attribution import STAND_IN

NEAREST = 4
"""Frames of the user's code that are noted of a saved tensor, from the innermost on."""

_OPTIMIZER = os.path.join(torch.__path__[0], "optim", "optimizer.py")


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
    """Return where the operation stands that this thread runs, from `frame` outwards.

    With `whole` note all frames of the user's code, else the NEAREST.
    """
    frames: list[tuple[CodeType, int]] = []
    module: Callable[[], nn.Module | None] = _nothing
    function: type | None = None
    optimizer = ""
    while frame is not None:
        code = frame.f_code
        if is_users(code.co_filename):
            if code.co_name != STAND_IN:
                frames.append((code, frame.f_lasti))
            if len(frames) == NEAREST and not whole:
                break
        elif code is CALL:
            module = weakref.ref(frame.f_locals["self"]) if module is _nothing else module
        elif code is APPLY and not (frames or operation):
            function = frame.f_locals["cls"]
        elif code.co_name == "wrapper" and code.co_filename == _OPTIMIZER and not frames:  # of its step
            optimizer = type(frame.f_locals["args"][0]).__name__
        frame = frame.f_back
    operation = "step" if optimizer else operation or getattr(function, "__name__", "")
    return CallSite(operation, tuple(frames), module, optimizer, function)


def user_frame(frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame of the user's code, from `frame` outwards."""
    while frame is not None and (frame.f_code.co_name == STAND_IN or not is_users(frame.f_code.co_filename)):
        frame = frame.f_back
    return frame
