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
class Values:
    """A copy of a tensor's values at one moment, with a summary. No tensor of a session is empty.

    `elements`, `negatives` and `zeros` count elements. `nested` is None for a tensor of more elements than the replay
    lists; `corner`, the top left of the first matrix, is always there: at most 8 by 8 elements, one row for a vector.
    """

    copy: torch.Tensor = field(repr=False, compare=False)
    elements: int
    negatives: int
    zeros: int
    minimum: float
    maximum: float
    nested: Nested | None
    corner: list[list[float]]


@dataclass(frozen=True)
class Node:
    """A node of the autograd graph: the name of its class, its id, and the nodes of its `next_functions`.

    `variable` is the name of the leaf that an AccumulateGrad node adds to, else "". `saved` has the name of each named
    tensor that the node saved for backward, with its version when the node was first recorded.
    """

    name: str
    id: int
    next_functions: tuple[Node, ...] = ()
    variable: str = ""
    saved: tuple[tuple[str, int], ...] = ()

    def walk(self) -> Iterator[Node]:
        """Yield this node and every node behind it, once for each path to it."""
        yield self
        for node in self.next_functions:
            yield from node.walk()


@dataclass(frozen=True)
class TensorState:
    """One tensor after one line, its properties under PyTorch's own names.

    `data_ptr` is the address of the storage (`Tensor.untyped_storage().data_ptr()`), the same for all views of it;
    `version` is the version counter (`Tensor._version`), which every write in place increments.
    """

    name: str
    id: int
    data_ptr: int
    version: int
    grad_fn: Node | None
    requires_grad: bool
    shape: tuple[int, ...]
    dtype: str
    device: str
    values: Values

    @property
    def grad_fn_name(self) -> str:
        """The name of the `grad_fn`'s class, or "None"."""
        return self.grad_fn.name if self.grad_fn else "None"


@dataclass(frozen=True)
class Step:
    """One line that ran: what it printed, and every tensor that has a name after it, by that name.

    `changed` has the names whose tensor the line made, replaced or changed. `error` is the message of what the line
    raised, `warnings` are the messages of its warnings.
    """

    line: Line
    output: str
    tensors: Mapping[str, TensorState]
    changed: tuple[str, ...]
    error: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """A moment of a session with the tensor as it was then, compared with a reference look.

    The reference is the look of the same key in the part's reference, or the part's own first look. `changed` counts
    the elements that differ from it, `zeroed` those of them that are negative there and zero here, `largest` is the
    largest absolute difference; all three are None if there is no reference of the same shape.
    """

    moment: Moment
    state: TensorState
    changed: int | None = None
    zeroed: int | None = None
    largest: float | None = None


@dataclass(frozen=True)
class TracedPart:
    """A part of the session with its steps, and the looks at its moments by the moments' keys."""

    key: str
    title: str
    steps: tuple[Step, ...]
    looks: Mapping[str, Look]
    reference: str = ""

    @property
    def errors(self) -> list[str]:
        """The messages of what the part's lines raised."""
        return [step.error for step in self.steps if step.error is not None]


@dataclass(frozen=True)
class Trace:
    """All that a replay recorded. `alive` references every object whose id is in the trace."""

    session: Session
    torch_version: str
    parts: tuple[TracedPart, ...]
    alive: tuple[Any, ...] = field(repr=False, compare=False)

    @property
    def shown(self) -> list[TracedPart]:
        """The parts that a screen shows: all, or the one that is shown alone."""
        return [part for part in self.parts if self.session.alone in ("", part.key)]

    @property
    def steps(self) -> list[Step]:
        """All lines that have run, in order."""
        return [step for part in self.parts for step in part.steps]
