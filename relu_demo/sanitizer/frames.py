"""Where the running operation stands: the innermost module, and the line of the user's code."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import CodeType, FrameType, FunctionType

import torch
from torch import nn

from relu_demo.sanitizer.place import Place

_TORCH = str(Path(torch.__file__).parent) + os.sep
_OURS = str(Path(__file__).parents[1]) + os.sep
_STANDARD = tuple(os.path.abspath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib"))
_INSTALLED = {"site-packages", "dist-packages"}
_CHECKPOINT = os.path.join(_TORCH, "utils", "checkpoint.py")
_CALL = nn.Module._call_impl.__code__
_APPLY = getattr(getattr(torch.autograd.Function.apply, "__func__", None), "__code__", None)


class Places:
    """Names places in one network. Reads Python's own frames, so that no hook is put on any module."""

    def __init__(self, network: nn.Module, outermost: CodeType) -> None:
        """`outermost`: the code object of the function that calls the network; frames beyond it do not count."""
        self._names = {id(module): name for name, module in network.named_modules()}
        self._outermost = outermost

    def path_of(self, module: nn.Module) -> str:
        """As in `named_modules()`; of a module that is not in the network, its class in angle brackets."""
        return str(self._names.get(id(module), f"<{type(module).__name__}>"))

    def here(self, operation: str) -> Place:
        """The place of the operation that runs now."""
        frame: FrameType | None = sys._getframe(1)
        module: str | None = None
        user: FrameType | None = None
        while frame is not None and frame.f_code is not self._outermost:
            if module is None and frame.f_code is _CALL:
                running = frame.f_locals["self"]
                module = self.path_of(running)
            if user is None and is_users(frame.f_code.co_filename):
                user = frame
            if module is not None and user is not None:
                break
            frame = frame.f_back
        if user is None:
            return Place(operation, module or "")
        return Place(operation, module or "", user.f_code.co_filename, user.f_lineno)


@cache
def is_users(filename: str) -> bool:
    """Whether a frame of that file is the user's code, and neither PyTorch's nor ours nor Python's own."""
    path = os.path.abspath(filename)
    if filename.startswith("<frozen") or path.startswith((_TORCH, _OURS)):
        return False
    # What is installed lies in folders below the standard library's, and is not of it.
    return not path.startswith(_STANDARD) or not _INSTALLED.isdisjoint(Path(path).parts)


def runs_again() -> bool:
    """Whether the running operation is inside of a torch.utils.checkpoint, which calls it again in backward."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == _CHECKPOINT:
            return True
        frame = frame.f_back
    return False


def has_switch(function: FunctionType) -> bool:
    """
    Whether the running call of `function`, which is out of place, can be put in place by who wrote the network.

    Not if a module's `inplace` is True already and does not reach the call, nor if code of PyTorch makes the call and
    has no `inplace` to hand on.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    caller = frame = frame and frame.f_back
    while frame is not None and frame.f_code is not _CALL:
        frame = frame.f_back
    if frame is not None and getattr(frame.f_locals["self"], "inplace", False) is True:
        return False
    return caller is None or is_users(caller.f_code.co_filename) or "inplace" in caller.f_code.co_names


def saver_name() -> str:
    """What saves a tensor for backward while no function of torch runs: a checkpoint, or an autograd.Function."""
    if runs_again():
        return "checkpoint"
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not _APPLY:
        frame = frame.f_back
    # Before PyTorch 2.0 `apply` is not Python, and has no frame.
    return "autograd.Function" if frame is None else str(frame.f_locals["cls"].__name__)


def operation_name(function: object) -> str:
    """PyTorch's own name of a function: `relu`, `__iadd__`."""
    name = str(getattr(function, "__name__", function))
    return name[1:] if name == "_threshold" else name
