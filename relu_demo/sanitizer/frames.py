"""Where the running operation stands: one walk over Python's frames, from the operation out to the user's code."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch import nn

_TORCH = str(Path(torch.__file__).parent) + os.sep
_OURS = str(Path(__file__).parents[1]) + os.sep
_STANDARD = tuple(os.path.abspath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib"))
_INSTALLED = {"site-packages", "dist-packages"}
_CHECKPOINT = os.path.join(_TORCH, "utils", "checkpoint.py")
_CALL = nn.Module._call_impl.__code__
# Before PyTorch 2.0 `apply` is not Python, and has no frame.
_APPLY = getattr(getattr(torch.autograd.Function.apply, "__func__", None), "__code__", None)


class Stand(NamedTuple):
    """What the frames tell of the running operation."""

    file: str | None
    """File of the innermost frame of the user's code; None if there is none (the whole way is PyTorch's own)."""
    line: int | None
    module: nn.Module | None
    """The innermost module that is being called."""
    in_checkpoint: bool
    """Whether a torch.utils.checkpoint runs it, and so runs it again in backward."""
    applied: str | None
    """Name of the innermost autograd.Function that is being applied."""
    caller: CodeType | None
    """Code of the frame that called the function asked for."""

    @property
    def saver(self) -> str:
        """Return the name of what saves a tensor for backward while no function of torch runs."""
        return "checkpoint" if self.in_checkpoint else self.applied or "autograd.Function"

    @property
    def has_switch(self) -> bool:
        """
        Return whether the author of the network can put this call in place by an argument `inplace`.

        False if the module's `inplace` is True already (it does not reach the call), and if the caller is PyTorch's
        own code that has no `inplace` to pass on.
        """
        if getattr(self.module, "inplace", False) is True:
            return False
        return self.caller is None or is_users(self.caller.co_filename) or "inplace" in self.caller.co_names


def stand(outermost: FrameType | None, function: Any = None) -> Stand:
    """
    Walk the frames of this thread from the caller out to `outermost` (included), or to the last.

    `function`: the running function of torch, a Python function or built-in; its caller is found on the way.
    """
    file: str | None = None
    line: int | None = None
    module: nn.Module | None = None
    in_checkpoint = False
    applied: str | None = None
    caller: CodeType | None = None
    called = getattr(function, "__code__", None)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if file is None and is_users(code.co_filename):
            file, line = code.co_filename, frame.f_lineno
        elif code is _CALL:
            module = frame.f_locals["self"] if module is None else module
        elif code is called:
            caller = frame.f_back.f_code if caller is None and frame.f_back is not None else caller
        elif code is _APPLY:
            applied = frame.f_locals["cls"].__name__ if applied is None else applied
        elif code.co_filename == _CHECKPOINT:
            in_checkpoint = True
        if frame is outermost:
            break
        frame = frame.f_back
    return Stand(file, line, module, in_checkpoint, applied, caller)


@cache
def is_users(filename: str) -> bool:
    """Return whether code of that file is the user's, and not PyTorch's, this package's or Python's own."""
    path = os.path.abspath(filename)
    if filename.startswith("<frozen") or path.startswith((_TORCH, _OURS)):
        return False
    # Installed packages lie in folders below the standard library's, and are not part of it.
    return not path.startswith(_STANDARD) or not _INSTALLED.isdisjoint(Path(path).parts)


def operation_name(function: object) -> str:
    """Return PyTorch's own name of a function: `relu`, `__iadd__`."""
    name = str(getattr(function, "__name__", function))
    return name[1:] if name == "_threshold" else name
