"""The trace: what a replay saw, as plain data. Views and claims read it; nothing here needs torch at run time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

from relu_demo.session.lines import Line, Moment, Session

if TYPE_CHECKING:
    import torch

Nested = Union[float, int, bool, "list[Nested]"]
"""A tensor's numbers as `Tensor.tolist()` gives them."""


@dataclass(frozen=True)
class Values:
    """A tensor's values as they were at one moment: a copy, not a reference.

    Counts are in elements. `nested` is None for more elements than the replay was asked to list; `corner` is the
    top left of the first matrix (at most 8 by 8 elements; a row for a vector) and always there. No
    tensor of a session is empty.
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
    """A node of the autograd graph as one `grad_fn` shows it: its name, and the nodes that `next_functions` leads to.

    `variable` is the name of the leaf tensor that an AccumulateGrad node adds to, else "". `saved` has the tensors that
    the node keeps for backward and that can be named, with the version that each had when the node was first seen.
    """

    name: str
    id: int
    next_functions: tuple[Node, ...] = ()
    variable: str = ""
    saved: tuple[tuple[str, int], ...] = ()

    def walk(self) -> Iterator[Node]:
        """This node and every node behind it, each time that it is reached."""
        yield self
        for node in self.next_functions:
            yield from node.walk()


@dataclass(frozen=True)
class TensorState:
    """One tensor after one line. Names are PyTorch's own.

    `data_ptr` is the address of the storage, in bytes (`Tensor.untyped_storage().data_ptr()`), the same for all views
    of it; `version` is the storage's version counter (`Tensor._version`), which every write in place raises by one.
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
        """The name of its `grad_fn`, or "None"."""
        return self.grad_fn.name if self.grad_fn else "None"


@dataclass(frozen=True)
class Step:
    """One line that ran: what it printed, and every tensor that could be named after it.

    `changed` has the names of those that the line made, replaced or changed. `error` is what the line raised, in
    PyTorch's own words, and `warnings` what it warned of.
    """

    line: Line
    output: str
    tensors: Mapping[str, TensorState]
    changed: tuple[str, ...]
    error: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """A moment of a session with the tensor as it was then.

    It is held against another look: the one with the same key in the part's reference, or the part's own first look.
    `changed` counts the elements that are not what they were then, `zeroed` those of them that were negative then and
    are zero now, and `largest` is the largest absolute difference. All are None where there is nothing to hold against.
    """

    moment: Moment
    state: TensorState
    changed: int | None = None
    zeroed: int | None = None
    largest: float | None = None


@dataclass(frozen=True)
class TracedPart:
    """A part of the session with its steps, and the looks at the moments that its lines name, by the moments' keys."""

    key: str
    title: str
    steps: tuple[Step, ...]
    looks: Mapping[str, Look]
    reference: str = ""

    @property
    def errors(self) -> list[str]:
        """What the part's lines raised."""
        return [step.error for step in self.steps if step.error is not None]


@dataclass(frozen=True)
class Trace:
    """All that a replay saw. `torch_version` is PyTorch's own; `alive` holds every object whose id is in the trace."""

    session: Session
    torch_version: str
    parts: tuple[TracedPart, ...]
    alive: tuple[Any, ...] = field(repr=False, compare=False)

    def part(self, key: str) -> TracedPart:
        """The part of that key. Raises KeyError where this session has none."""
        return {part.key: part for part in self.parts}[key]
