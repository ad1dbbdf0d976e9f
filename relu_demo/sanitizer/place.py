"""Where an operation stands: its name, its module, and the line of the user's code. Plain data, no torch."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from itertools import islice
from types import CodeType

GIVING = ("numpy", "__array__", "__dlpack__")
"""Methods of a tensor that give its memory to code that no mode sees; a write there has the line of this call."""

Frames = tuple[tuple[CodeType, int], ...]
"""The user's frames around an operation, the innermost first: each one's code, and its instruction in bytes."""


@dataclass(frozen=True)
class Place:
    """One operation, and where it stands."""

    operation: str
    """PyTorch's own name: `relu`, `conv2d`, `__iadd__`; `return` for a network's return value."""
    module: str
    """Path of the innermost module that runs it, as in `named_modules()`; "" is the network itself."""
    file: str | None = None
    """The user's code: the innermost frame outside torch. None if all frames are torch's (nn.Sequential)."""
    line: int | None = None
    hook: str | None = None
    """Name of the module's forward hook that runs it; None outside of hooks."""
    frames: Frames = field(default=(), compare=False, repr=False)
    """Of that code: what a cure is made from. Empty where no frame is the user's."""
    is_kept: bool = field(default=False, compare=False, repr=False)
    """Whether nothing runs there: a hook, an attribute or something outside keeps a tensor after the forward."""

    @property
    def called_from(self) -> tuple[Place, ...]:
        """Return the lines that called the function of this one, the nearest first."""
        return tuple(Place("", "", *line_at(*frame)) for frame in self.frames[1:])


def line_at(code: CodeType, instruction: int) -> tuple[str, int]:
    """Return the file and the line on which the expression of an instruction begins; that of its code if nobody knows.

    An instruction below zero is the beginning of its code.
    """
    position = next(islice(code.co_positions(), instruction // 2, None), None) if instruction >= 0 else None
    return code.co_filename, (position[0] if position else None) or code.co_firstlineno


def shown_file(file: str) -> str:
    """Return a file as the user would type it: from the working directory where it is below that; `Cell 5`."""
    shell = sys.modules.get("ipykernel") and sys.modules.get("IPython")
    if shell is not None:
        compiler = getattr(shell.get_ipython(), "compile", None)
        number = getattr(compiler, "_filename_map", {}).get(file)
        if number is not None:
            return f"Cell {number}"
    try:
        beside = os.path.relpath(file)
    except (ValueError, OSError):  # of no file; on another drive; the working directory is gone
        return file
    return os.path.normpath(file) if beside.startswith(os.pardir) else beside
