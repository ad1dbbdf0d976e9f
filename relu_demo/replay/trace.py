"""The trace: what a replay recorded, as plain data for claims and views. Imports no torch at run time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

from relu_demo.session.lines import Line, Moment, Session

if TYPE_CHECKING:
    import torch

Nested = Union[float, int, bool, "list[Nested]"]
"""A tensor's numbers as `Tensor.tolist()` returns them."""


@dataclass(frozen=True)
class Summary:
    """The numbers of a tensor at one moment in short, with a copy of them. No tensor of a session is empty."""

    copy: torch.Tensor = field(repr=False, compare=False)
    elements: int
    """How many numbers there are."""
    negatives: int
    """How many are below zero."""
    zeros: int
    """How many are zero."""
    min: float
    """The lowest."""
    max: float
    """The highest."""
    values: Nested | None
    """All of them; None where there are more than the replay lists."""
    corner: list[list[float]]
    """The top left of the first matrix: at most 8 by 8 numbers, one row for a vector."""


@dataclass(frozen=True)
class SavedName:
    """A tensor that a node of the autograd graph saved for backward."""

    name: str
    """By which the session has it."""
    version: int
    """Its version counter."""


@dataclass(frozen=True)
class Node:
    """A node of the autograd graph, as it was when it was first recorded."""

    name: str
    """The name of its class."""
    id: int
    """`id(grad_fn)`."""
    next_functions: tuple[Node, ...] = ()
    """The nodes behind it."""
    variable: str = ""
    """The leaf that an AccumulateGrad node adds to; empty for every other node."""
    saved_tensors: tuple[SavedName, ...] = ()
    """The tensors that the node keeps for backward, where they have a name."""

    def walk(self) -> Iterator[Node]:
        """Yield this node and every node behind it, once for each path to it."""
        yield self
        for node in self.next_functions:
            yield from node.walk()


@dataclass(frozen=True)
class TensorState:
    """One tensor after one line, its properties under PyTorch's own names."""

    name: str
    """By which the session has it."""
    id: int
    """`id(tensor)`."""
    data_ptr: int
    """The address of its storage, `tensor.untyped_storage().data_ptr()`: the same for all views of it."""
    version: int
    """The version counter, `tensor._version`, which every write in place increments; -1 of an inference tensor."""
    grad_fn: Node | None
    """The autograd graph from `tensor.grad_fn` on."""
    requires_grad: bool
    shape: tuple[int, ...]
    dtype: str
    device: str
    summary: Summary
    """The numbers in short."""

    @property
    def values(self) -> Nested | None:
        """The numbers as `tensor.tolist()`; None where there are more than `--values` lists."""
        return self.summary.values

    @property
    def grad_fn_name(self) -> str:
        """The name of the `grad_fn`'s class, or "None"."""
        return self.grad_fn.name if self.grad_fn else "None"


@dataclass(frozen=True)
class Step:
    """One line that ran, with what came of it."""

    line: Line
    output: str
    """What the line printed, as the Python REPL prints it."""
    tensors: Mapping[str, TensorState]
    """Every tensor that has a name after the line, by that name."""
    changed_tensors: Mapping[str, TensorState]
    """Those that the line made, replaced or changed."""
    error: str | None = None
    """What the line raised, in PyTorch's own words."""
    warnings: tuple[str, ...] = ()
    """What it warned of."""


@dataclass(frozen=True)
class Look:
    """A moment of a session with the tensor as it was then, compared with a reference look.

    The reference is the look of the same key in the part's reference, or the part's own first look.
    """

    moment: Moment
    state: TensorState
    changed: int | None = None
    """How many elements are not those of the reference; None where there is none of the same shape."""
    zeroed: int | None = None
    """How many of them are negative there and zero here."""
    largest: float | None = None
    """The largest absolute difference from the reference."""


@dataclass(frozen=True)
class TracedPart:
    """A part of the session, as it ran."""

    key: str
    title: str
    lines: tuple[Step, ...]
    """The lines that ran, in order."""
    moments: Mapping[str, Look]
    """The tensors that the part looks at, in order, by the keys of the moments."""
    reference: str = ""
    """The part whose moments these are held against; its own key means its own first moment; empty for none."""

    @property
    def errors(self) -> list[str]:
        """The messages of what the part's lines raised."""
        return [step.error for step in self.lines if step.error is not None]


@dataclass(frozen=True)
class Trace:
    """All that a replay recorded. `alive` references every object whose id is in the trace."""

    session: Session
    torch_version: str
    parts: Mapping[str, TracedPart]
    """The parts of the session in the order in which they ran, by their keys."""
    alive: tuple[Any, ...] = field(repr=False, compare=False)

    @property
    def shown(self) -> list[TracedPart]:
        """The parts that a screen shows: all, or the one that is shown alone."""
        return [part for part in self.parts.values() if self.session.alone in ("", part.key)]

    @property
    def lines(self) -> list[Step]:
        """All lines that have run, in order."""
        return [step for part in self.parts.values() for step in part.lines]
