"""Where the running operation stands: one walk over Python's frames, from the operation out to the user's code."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import sysconfig
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch import nn

from relu_demo.sanitizer.place import Frames
from relu_demo.sanitizer.source import is_what_runs

_TORCH = str(Path(torch.__file__).parent) + os.sep
_OURS = str(Path(__file__).parents[1]) + os.sep
_STANDARD = tuple(os.path.abspath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib"))
_INSTALLED = {"site-packages", "dist-packages"}
_CHECKPOINT = os.path.join(_TORCH, "utils", "checkpoint.py")
_FUNCTIONAL = os.path.join(_TORCH, "nn", "functional.py")
_PASSING_ON = (_OURS, os.path.join(_TORCH, "overrides.py"), os.path.join(_TORCH, "_ops.py"))
# Of `x **= 2`, which is Python around a method.
_WRAPPERS = {getattr(torch.Tensor.__ipow__, "__code__", None)}
_APPLY = inspect.getattr_static(torch.autograd.Function, "apply")


CALL = nn.Module._call_impl.__code__
"""What runs while a module is called, with that as its `self`."""


def apply_in_python(cls: Any, *args: Any, **kwargs: Any) -> Any:
    """Apply an autograd.Function in a frame of Python's, as PyTorch before 2.14 does."""
    return _APPLY.__get__(None, cls)(*args, **kwargs)


APPLY: CodeType = getattr(_APPLY, "__func__", apply_in_python).__code__
"""What runs while an autograd.Function is applied, with that as its `cls`."""


@dataclass(slots=True)
class Surroundings:
    """What the frames tell of the running operation."""

    file: str | None = None
    """File of the innermost frame of the user's code; None if there is none (the whole way is PyTorch's own)."""
    line: int | None = None
    frames: list[tuple[CodeType, int]] = field(default_factory=list)
    """All frames of the user's code, from that one outwards."""
    module: nn.Module | None = None
    """The innermost module that is being called."""
    modules: int = 0
    """How many modules are being called below that frame of the user's code: two where an nn.Sequential calls one."""
    in_forward: bool = False
    """Whether that frame is a module's own forward, and no function that one calls."""
    in_checkpoint: bool = False
    """Whether a torch.utils.checkpoint runs it, and so runs it again in backward."""
    applied: str | None = None
    """Name of the innermost autograd.Function that is being applied."""
    marks_dirty: bool = False
    """Whether the forward of one declares by `mark_dirty` that it writes to its input."""
    hook: str | None = None
    """Name of the innermost forward hook that runs it."""
    outermost: CodeType | None = None
    """Code of the outermost frame of the user's inside the innermost module call that was walked through."""
    caller: CodeType | None = None
    """Code of the frame that called the function asked for."""

    @property
    def module_has_switch(self) -> bool:
        """Return whether the innermost module has the switch: a bool called `inplace`."""
        return isinstance(getattr(self.module, "inplace", None), bool)

    @property
    def has_switch(self) -> bool:
        """Return whether the author of the network can put this call in place by an argument `inplace`.

        False if the module's `inplace` is True already (it does not reach the call), and if the caller is PyTorch's
        own code that has no `inplace` to pass on.
        """
        if getattr(self.module, "inplace", False) is True:
            return False
        return self.caller is None or is_users(self.caller.co_filename) or "inplace" in self.caller.co_names


def surroundings(outermost: FrameType | None, function: Any = None) -> Surroundings:
    """Walk the frames of this thread from the caller out to `outermost` (included), or to the last.

    `function`: the running function of torch, a Python function or built-in; its caller is found on the way.
    """
    found = Surroundings()
    called = getattr(function, "__code__", None)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if is_users(code.co_filename):
            _note_user(found, frame)
        elif code is CALL:
            _note_call(found, frame)
        elif code is APPLY:
            _note_apply(found, frame)
        elif code.co_filename == _CHECKPOINT:
            found.in_checkpoint = True
        if code is called and found.caller is None and frame.f_back is not None:
            found.caller = frame.f_back.f_code
        if frame is outermost:
            break
        frame = frame.f_back
    return found


def _note_user(found: Surroundings, frame: FrameType) -> None:
    if not found.frames:
        is_what_runs(frame.f_code)
        found.file, found.line = frame.f_code.co_filename, frame.f_lineno
    found.frames.append((frame.f_code, frame.f_lasti))
    found.marks_dirty |= "mark_dirty" in frame.f_code.co_names
    found.outermost = frame.f_code


def _note_call(found: Surroundings, frame: FrameType) -> None:
    module = frame.f_locals["self"]
    if found.module is None:
        found.module = module
    found.modules += not found.frames
    found.in_forward |= len(found.frames) == 1
    if found.outermost is not None and found.hook is None:
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        found.hook = next((hook_name(hook) for hook in hooks if code_of(hook) is found.outermost), None)
    found.outermost = None


def _note_apply(found: Surroundings, frame: FrameType) -> None:
    function = frame.f_locals["cls"]
    found.applied = found.applied or function.__name__
    declares = code_of(function.setup_context)  # which a `forward` without a context leaves that to
    found.marks_dirty |= declares is not None and "mark_dirty" in declares.co_names


def edits_for_itself(written: Frames, saved: Frames) -> bool:
    """
    Return whether a function edits what it saves further below: the write is of a later call than what it overwrites.

    Past autograd a power iteration (spectral norm by `.data`) does so, and means it.
    """
    return bool(saved) and any(code is saved[0][0] and at < saved[0][1] for code, at in written)


def calling_frame() -> FrameType | None:
    """Return the frame that called the running function of torch; None if that is not the user's code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (frame.f_code in _WRAPPERS or frame.f_code.co_filename.startswith(_PASSING_ON)):
        frame = frame.f_back
    if frame is None or not is_users(frame.f_code.co_filename):
        return None
    is_what_runs(frame.f_code)
    return frame


class InstructionSite(NamedTuple):
    """Which instruction calls the running function of torch, and in which module."""

    code: CodeType
    instruction: int
    module: nn.Module | None

    def is_again(self, before: InstructionSite) -> bool:
        """Return whether this may be that call once more, run by a checkpoint: that calls some modules' inner code."""
        return self[:2] == before[:2] and self.module in (None, before.module)


def instruction_site() -> InstructionSite | None:
    """Return the site of the call of torch that runs now; None if no frame is outside of PyTorch's functions."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((*_PASSING_ON, _FUNCTIONAL)):
        frame = frame.f_back
    if frame is None:
        return None
    code, instruction = frame.f_code, frame.f_lasti
    while frame is not None and frame.f_code is not CALL:
        frame = frame.f_back
    return InstructionSite(code, instruction, None if frame is None else frame.f_locals["self"])


def is_ours(filename: str) -> bool:
    """Return whether code of that file is this package's own."""
    return os.path.abspath(filename).startswith(_OURS)


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


def code_of(hook: Any) -> CodeType | None:
    """Return the code of a hook: of a function, a method, a partial of one, or an object with `__call__`."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    hook = inspect.unwrap(hook)
    found = getattr(hook, "__code__", None) or getattr(getattr(type(hook), "__call__", None), "__code__", None)  # noqa: B004 - its code is wanted
    return found if isinstance(found, CodeType) else None


def hook_name(hook: Any) -> str:
    """Return the name of a hook, as its definition has it; that of its class if it is an object."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    return str(getattr(hook, "__name__", type(hook).__name__))
