"""The user's functions that a network holds, as hooks and in attributes: their closures, defaults and attributes."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from relu_demo.network.state.items import CONTAINERS
from relu_demo.sanitizer.frames import is_users

_NOTHING = object()
"""In the place of what is in an empty cell."""

Cells = list[tuple[Any, Any]]
"""Cells of closures, each with what is in it."""


def cells_of(function: FunctionType) -> Cells:
    """Return the cells of a function's closure, each with what is in it now."""
    return [(cell, _inside(cell)) for cell in function.__closure__ or ()]


def restore_cells(cells: Cells) -> None:
    """Put into each cell what was in it."""
    for cell, inside in cells:
        if _inside(cell) is not inside:
            if inside is _NOTHING:
                del cell.cell_contents
            else:
                cell.cell_contents = inside


def held_by(function: FunctionType, with_globals: bool) -> list[Any]:
    """
    Return what a function holds: in its closure, its defaults and its attributes.

    `with_globals`: and the containers among the globals that its code names. Of a function that is not the user's only
    the one that it wraps, as a decorator of PyTorch's does.
    """
    wrapped = function.__dict__.get("__wrapped__")
    if not is_users(function.__code__.co_filename):
        return [wrapped] if isinstance(wrapped, FunctionType) else []
    held = [inside for _, inside in cells_of(function) if inside is not _NOTHING]
    held += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *function.__dict__.values()]
    if with_globals:
        every = function.__globals__
        held += [every[name] for name in _names_in(function.__code__) if type(every.get(name)) in CONTAINERS]
    return held


def _inside(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _NOTHING


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
