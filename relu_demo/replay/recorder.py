"""The recorder: looks at every tensor that a line could name, copies its values, and keeps alive what it looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from relu_demo.machine.threads import one_thread
from relu_demo.replay.trace import Look, Node, TensorState, Values
from relu_demo.session.lines import Moment
from relu_demo.tensors.graph import saved_by
from relu_demo.tensors.storage import address

CORNER = 8
"""Rows and columns of the corner that is always listed, in elements."""

BLOCK = 2**19
"""How many elements are counted at a time: what fits into a processor's cache."""

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The dtype that shows an element's bits, by its size in bytes."""


class Recorder:
    """Looks at tensors and keeps them, and all that their ids speak of, alive."""

    def __init__(self, listed: int) -> None:
        self.listed = listed
        self.alive: list[Any] = []
        self.nodes: dict[int, Node] = {}
        self.seen: dict[tuple[int, int, int], Values] = {}
        self.compared: dict[tuple[int, int], tuple[int, int, float]] = {}

    def look(self, namespace: dict[str, Any]) -> dict[str, TensorState]:
        """Every tensor of the namespace as it is now, by its name."""
        tensors = dict(named_tensors(namespace))
        return {name: self.state(name, tensor, tensors) for name, tensor in tensors.items()}

    def state(self, name: str, tensor: torch.Tensor, tensors: Mapping[str, torch.Tensor]) -> TensorState:
        """One tensor as it is now. `tensors` has all that can be named."""
        return TensorState(
            name=name,
            id=id(tensor),
            data_ptr=address(tensor),
            version=tensor._version,
            grad_fn=self.node(tensor.grad_fn, tensors),
            requires_grad=tensor.requires_grad,
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            device=str(tensor.device),
            values=self.values(tensor),
        )

    def node(self, grad_fn: Any, tensors: Mapping[str, torch.Tensor]) -> Node | None:
        """A node of the autograd graph with all behind it, as it was when it was first seen."""
        if grad_fn is None:
            return None
        if id(grad_fn) not in self.nodes:
            self.alive.append(grad_fn)
            behind = (self.node(function, tensors) for function, _ in grad_fn.next_functions)
            leaf = getattr(grad_fn, "variable", None)
            self.nodes[id(grad_fn)] = Node(
                name=type(grad_fn).__name__,
                id=id(grad_fn),
                next_functions=tuple(node for node in behind if node is not None),
                variable=next((name for name, tensor in tensors.items() if tensor is leaf), ""),
                saved=tuple(saved_tensors(grad_fn, tensors)),
            )
        return self.nodes[id(grad_fn)]

    def values(self, tensor: torch.Tensor) -> Values:
        """A copy of the values, made once for each version of each tensor, and once for the same numbers."""
        # The address too: `.data = ...` gives a tensor another storage and counts no version.
        key = (id(tensor), address(tensor), tensor._version)
        if key not in self.seen:
            self.alive.append(tensor)
            now = tensor.detach()
            same = (old for old in self.seen.values() if same_bits(old.copy, now))
            self.seen[key] = next(same, None) or copy_values(now, self.listed)
        return self.seen[key]

    def compare(self, moment: Moment, state: TensorState, other: Look | None) -> Look:
        """The look at a tensor, held against another look where there is one of the same shape."""
        if other is None or other.state.shape != state.shape:
            return Look(moment, state)
        was, now = other.state.values.copy, state.values.copy
        pair = (id(was), id(now))
        if pair not in self.compared:
            same = was is now
            self.compared[pair] = (
                (0, 0, 0.0) if same else (count(torch.ne, was, now), count(zeroed, was, now), largest(was, now))
            )
        return Look(moment, state, *self.compared[pair])


def zeroed(was: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    """Where a negative number has become zero."""
    return (was < 0) & (now == 0)


@one_thread()
def count(where: Callable[..., torch.Tensor], *tensors: torch.Tensor) -> int:
    """For how many elements `where` is true, given tensors of one shape.

    Block by block, since the masks of a large tensor would take a quarter of its memory.
    """
    blocks = zip(*(torch.split(tensor.reshape(-1), BLOCK) for tensor in tensors), strict=True)
    return sum(int(torch.count_nonzero(where(*block))) for block in blocks)


@one_thread()
def largest(was: torch.Tensor, now: torch.Tensor) -> float:
    """The largest absolute difference between two tensors of one shape, block by block as in `count`."""
    blocks = zip(torch.split(was.reshape(-1), BLOCK), torch.split(now.reshape(-1), BLOCK), strict=True)
    return max((float((there - here).abs().max()) for here, there in blocks), default=0.0)


def saved_tensors(grad_fn: Any, tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, int]]:
    """The named tensors that a node keeps for backward, each known by its storage, with their versions.

    Has to be asked before they are overwritten, or used.
    """
    for kept in saved_by(grad_fn):
        yield from ((name, kept._version) for name, tensor in tensors.items() if address(tensor) == address(kept))


def named_tensors(namespace: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that a line could name: variables, and modules' parameters and gradients as `conv1.weight.grad`."""
    for name, value in namespace.items():
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, torch.nn.Module):
            for parameter, tensor in value.named_parameters():
                yield f"{name}.{parameter}", tensor
                if tensor.grad is not None:
                    yield f"{name}.{parameter}.grad", tensor.grad


@one_thread()
def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors have the same shape and dtype and, element for element, the same bits."""
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    bits = INTEGERS[a.element_size()]
    return torch.equal(a.contiguous().view(bits), b.contiguous().view(bits))


@one_thread()
def copy_values(tensor: torch.Tensor, listed: int) -> Values:
    """A copy of the tensor's values with their summary. Lists them in full up to `listed` elements."""
    copy = tensor.clone()
    elements = copy.numel()
    # Half precision lacks some of these reductions on some devices.
    numbers = copy.float() if copy.element_size() < 4 else copy
    low, high = (extreme.item() for extreme in torch.aminmax(numbers))
    matrix = copy.reshape(-1, *copy.shape[-2:])[0] if copy.dim() > 2 else copy
    corner = matrix.reshape(-1, matrix.shape[-1] if matrix.dim() else 1)[:CORNER, :CORNER]
    return Values(
        copy=copy,
        elements=elements,
        negatives=count(lambda x: x < 0, numbers),
        zeros=elements - int(torch.count_nonzero(numbers)),
        minimum=low,
        maximum=high,
        nested=copy.tolist() if elements <= listed else None,
        corner=corner.tolist(),
    )
