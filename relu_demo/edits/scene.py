"""What a cure is chosen by: where a tensor was saved, made, written to and read, as a watch or a check has seen it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from types import CodeType
from typing import Literal


@dataclass(frozen=True)
class Spot:
    """A line of the user's code, and what ran there."""

    file: str
    line: int
    operation: str = ""
    """PyTorch's own name: `relu_`, `__iadd__`, `__setitem__`, `step`, `backward`, `expand`."""
    module: str = ""
    """The class of the module that ran there, if one did."""
    span: tuple[int, int, int, int] | None = None
    """The range of the running expression in its tree: lineno, col_offset, end_lineno, end_col_offset."""
    called_from: tuple[Spot, ...] = ()
    """The lines that called the function of this one, the nearest first."""


@dataclass(frozen=True)
class Scene:
    """One fault: every field that is not known is left as it is."""

    kind: Literal["overwritten", "refused", "silent"]
    refusal: str = ""
    """The key of the reason for which PyTorch refused a write: `leaf`, `several-views`, `expanded`."""
    saver: Spot | None = None
    made_by: Spot | None = None
    """Where the view, the expanded tensor, the several views or the inference tensor was made."""
    writers: tuple[Spot, ...] = ()
    raised_at: Spot | None = None
    """The backward, or the refused write."""
    tensor: str | None = None
    is_parameter: bool = False
    """Whether it is a parameter, or a view of one."""
    is_state: bool = False
    """Whether it is a parameter or a buffer of a module."""
    in_container: bool = False
    """Whether the line writes to an item of a list or of a dictionary, and not to a part of a tensor."""
    gradient_is_written: bool = False
    """Whether what is written requires grad, so that nothing may be written under no_grad()."""
    built_at: Spot | None = None
    """Where the module that wrote is built: `nn.ReLU(inplace=True)`; its operation is the class."""
    carried: bool = False
    """Whether the backward goes on into the graph of an earlier step."""


def spot_at(frames: Sequence[tuple[CodeType, int]], operation: str = "", module: str = "") -> Spot | None:
    """
    Return the spot of the innermost of some frames, each its code and the instruction that runs (`f_lasti`).

    None without a frame. An instruction below zero is the beginning of its code.
    """
    if not frames:
        return None
    outer = tuple(Spot(code.co_filename, line_at(code, at)) for code, at in frames[1:])
    code, at = frames[0]
    first, last, start, end = _position(code, at)
    span = None if None in (first, last, start, end) else (first or 0, start or 0, last or 0, end or 0)
    return Spot(code.co_filename, line_at(code, at), operation, module, span, outer)


def line_at(code: CodeType, instruction: int) -> int:
    """Return the line on which the expression of an instruction begins; that of its function where nobody knows."""
    return _position(code, instruction)[0] or code.co_firstlineno


def _position(code: CodeType, instruction: int) -> tuple[int | None, int | None, int | None, int | None]:
    nowhere = None, None, None, None
    return next(islice(code.co_positions(), instruction // 2, None), nowhere) if instruction >= 0 else nowhere
