"""Where the layers of an nn.Sequential stand in the source: their forward has no line of its own there."""

from __future__ import annotations

import ast
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from relu_demo.sanitizer.frames import surroundings
from relu_demo.sanitizer.source import statement_at

SourceLine = tuple[str, int]


class Layers:
    """The line on which each layer was given to an nn.Sequential, of those that are built while it listens.

    `otherwise`: the line for any other layer.
    """

    def __init__(self, otherwise: SourceLine | None = None) -> None:
        self._otherwise = otherwise
        self._known: dict[int, tuple[weakref.ref[nn.Module], SourceLine, bool]] = {}
        """By id of each layer: where it was given to another module, and whether that is an nn.Sequential."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside the block, note the lines."""
        handle = register_module_module_registration_hook(self._registered)
        try:
            yield
        finally:
            handle.remove()

    def line_of(self, module: nn.Module | None) -> SourceLine | None:
        """Return the file and line on which a layer was given to an nn.Sequential; `otherwise` where not seen."""
        known = self._known.get(id(module))
        return known[1] if known is not None and known[2] else self._otherwise

    def built_at(self, module: nn.Module | None) -> SourceLine | None:
        """Return the file and line on which a layer with `inplace=True` was given to another; None if not seen."""
        known = self._known.get(id(module)) if getattr(module, "inplace", False) is True else None
        return None if known is None else known[1]

    def _registered(self, parent: nn.Module, name: str, module: nn.Module | None) -> None:
        in_sequence = isinstance(parent, nn.Sequential)
        if module is None or not (in_sequence or getattr(module, "inplace", False) is True):
            return
        found = surroundings(None)
        if found.file is None or found.line is None:
            return
        number, known = id(module), self._known
        line = found.file, _line_of_argument(found.file, found.line, name) if in_sequence else found.line
        known[number] = weakref.ref(module, lambda ref: known.pop(number, None)), line, in_sequence


def _line_of_argument(file: str, line: int, name: str) -> int:
    """Return the line of the layer's own argument in the call that begins at a line; that line where it has none."""
    statement = statement_at(file, line)
    for call in ast.walk(statement) if statement is not None and name.isdigit() else ():
        if isinstance(call, ast.Call) and call.lineno == line and len(call.args) > int(name):
            before = call.args[: int(name) + 1]
            return line if any(isinstance(argument, ast.Starred) for argument in before) else before[-1].lineno
    return line
