"""What a cure is chosen by, and what is asked of it: the backward, the loss, the order of two lines in the source."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import statement_at, statements_at
from relu_demo.watching.names import went_backward


@dataclass(frozen=True)
class Case:
    """What a cure is chosen by: the saver, the first writer, the backward, and the tensor's name."""

    saver: Place
    writer: Place | None
    backward: Place
    tensor: str | None
    is_state: bool
    """Whether the tensor is a parameter or a buffer of a module."""
    earlier_step: bool
    silent: bool
    is_parameter: bool = False
    """Whether it is a parameter, or a view of one."""
    mask_lacks: int | None = None
    """How many dimensions fewer than the tensor the mask has that it is written to with; None if none was seen."""
    in_container: bool = False
    """Whether the line writes to an item of a list, or of a dictionary, and not to a part of a tensor."""
    through_data: bool = False
    """Whether `.data` on that line is the attribute of a tensor."""

    @property
    def statement(self) -> ast.stmt | None:
        """The writer's statement."""
        return None if self.writer is None else statement_at(self.writer.file, self.writer.line)


def function_of(place: Place) -> str | None:
    """Return the name of the function that a place stands in; None at the top of a file."""
    around = statements_at(place.file, place.line)
    return next((s.name for s in reversed(around) if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef))), None)


def backward_of(case: Case) -> str:
    """Return the call that went backward, as it is written."""
    if case.backward.file is None or case.backward.line is None:
        return "the backward"
    return went_backward(case.backward.file, case.backward.line)


def loss_of(case: Case) -> str:
    """Return what it went backward from."""
    backward = backward_of(case)
    return backward.partition(".backward")[0] if ".backward" in backward else "that loss"


def is_of_round_before(case: Case) -> bool:
    """Return whether a write before a backward stands behind it in the source: in a loop, or in a function."""
    assert case.writer is not None
    writer, backward = case.writer, case.backward
    if writer.file != backward.file or function_of(writer) != function_of(backward):
        return False
    return writer.line is not None and backward.line is not None and writer.line > backward.line


def edit(case: Case) -> str:
    """Return what to do about a write to a parameter or a buffer."""
    if is_of_round_before(case):
        return f"compute {loss_of(case)} again after that write"
    again = "" if case.writer is None or case.writer.module else f"compute {loss_of(case)} after that write, or "
    return f"{again}write to {case.tensor or 'it'} after {backward_of(case)}, or clone() it where it is read"


def besides(case: Case, node: ast.expr) -> str:
    """
    Return what is to be done besides, if an expression is bound to a new tensor instead of written to.

    Where nothing reads the variable of a loop, or the argument of a function, after a write, that was made for whoever
    else has the tensor: to bind the name alone would lose it.
    """
    statement, place = case.statement, case.writer
    if not isinstance(node, ast.Name) or statement is None or place is None:
        return ""
    for scope in reversed(statements_at(place.file, place.line)[:-1]):
        if isinstance(scope, (ast.For, ast.AsyncFor)):
            binds, also = ast.walk(scope.target), "put it back where the loop takes it from"
        elif isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)):
            binds, also = ast.walk(scope.args), "return it"
        else:
            continue
        names = {part.id if isinstance(part, ast.Name) else getattr(part, "arg", None) for part in binds}
        if node.id in names:
            last = statement.end_lineno or statement.lineno
            parts = (part for part in ast.walk(scope) if isinstance(part, ast.Name) and part.id == node.id)
            read = any(isinstance(part.ctx, ast.Load) and part.lineno > last for part in parts)
            # What a hook does not return, the network does not get.
            given = place.hook is None or any(isinstance(part, ast.Return) for part in ast.walk(scope))
            return "" if read and given else f", and {also}"
    return ""
