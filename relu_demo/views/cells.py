"""The cells of a moment: each takes a column and says one property of its tensor, and whether it changed."""

from __future__ import annotations

from rich.text import Text

from relu_demo.views.chosen import Column
from relu_demo.views.graph import Graph
from relu_demo.views.parts import CHANGED, cell, change

ONE_LINE = 22
"""Characters of an id and `not o1`, with which a column is as wide as three numbers."""


def tensor_id(column: Column, shown: bool) -> Text:
    """Return the id, and whether it is that of the same name before: alone if that id is `shown` in the table."""
    if column.common:
        return cell(f"{column.look.state.name} is computed anew", style="dim")
    was = column.earlier.state.id if column.earlier else None
    other = column.before[-1].state if column.before else None
    return identity(str(column.look.state.id), was == column.look.state.id, was is not None, shown) + (
        Text(f" not {other.name}") if was is None and other else Text()
    )


def storage(column: Column, shown: bool) -> Text:
    """Return the storage's address in the same way."""
    if column.common:
        return cell("for each half", style="dim")
    state = column.look.state
    was = column.earlier.state.data_ptr if column.earlier else None
    other = column.before[-1].state if column.before else None
    if was is None and other and other.data_ptr == state.data_ptr:
        return cell(f"that of {other.name}")
    return identity(address(state.data_ptr), was == state.data_ptr, was is not None, shown) + (
        Text(f" not {other.name}") if was is None and other else Text()
    )


def identity(text: str, same: bool, known: bool, shown: bool) -> Text:
    """Return an id or an address; if the one before is `known`, whether it is the `same`."""
    if not known:
        return cell(text)
    if same:
        return cell("same" if shown else f"{text} same")
    return cell(f"{text} changed", True)


def address(number: int) -> str:
    """Return an address as C prints it."""
    return f"{number:#014x}"


def version(column: Column) -> Text:
    """Return the version counter."""
    state = column.look.state
    return cell(f"{state.version:,}", column.earlier is not None and column.earlier.state.version != state.version)


def grad_fn(column: Column) -> Text:
    """Return the name of the grad_fn's class."""
    return cell(column.look.state.grad_fn_name, is_rewritten(column))


def graph(column: Column) -> Graph:
    """Return the grad_fn with all that is behind it."""
    return Graph(column.look.state.grad_fn, is_rewritten(column))


def is_rewritten(column: Column) -> bool:
    """Return whether the tensor had another grad_fn before."""
    return column.earlier is not None and column.earlier.state.grad_fn != column.look.state.grad_fn


def grad_fn_1_10(column: Column) -> Text:
    """Return the name of the grad_fn in the article, or an empty text if the session does not tell."""
    return cell(column.look.moment.grad_fn_1_10, style="dim")


def summary(column: Column) -> Text:
    """Say how many values are negative, or how many differ from the part's first look.

    In a new tensor nothing has changed: name the tensor that it was computed from instead of marking a change.
    """
    look = column.look
    if not column.before or look.changed is None:
        return cell(f"{look.state.summary.negatives:,} negative")
    if look.changed == 0:
        return change("none changed", False)
    words = f"{look.zeroed:,} zeroed" if look.changed == look.zeroed else f"{look.changed:,} changed"
    if column.earlier is None:
        return cell(f"{column.before[-1].state.name}, {words}")
    return cell(words, True)


def result(column: Column, name: str) -> Text:
    """Return whether the result of that name is the column's tensor itself, else what a column of its own would say.

    That is its id, its storage's address, its grad_fn, and how many of its numbers are 0.
    """
    made, state = column.result, column.look.state
    if made is None or made.state.name != name:
        return Text()
    if made.state.id == state.id:
        return cell(f"{state.name} itself", style=CHANGED)
    shares = made.state.data_ptr == state.data_ptr
    where = f"that of {state.name}" if shares else f"{address(made.state.data_ptr)} not {state.name}"
    last = made.state.grad_fn_name, f"{made.state.summary.zeros:,} zeros"
    one_line = len(" ".join(last)) <= ONE_LINE
    return cell("\n".join([f"{made.state.id} not {state.name}", where, (" " if one_line else "\n").join(last)]))
