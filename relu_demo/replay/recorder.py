"""The recorder: records every tensor that a line can name, with a copy of its values, and keeps it alive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from relu_demo.machine.threads import one_thread
from relu_demo.replay.trace import Look, Node, SavedName, Summary, TensorState
from relu_demo.replay.values import copy_values, count, largest, zeroed
from relu_demo.session.lines import Moment
from relu_demo.tensors.graph import grad_fn_of, is_leaf, saved_by
from relu_demo.tensors.storage import address_of, same_bits, version_of


class Recorder:
    """Records tensors and keeps alive every object whose id it recorded.

    `listed` is the number of elements up to which a tensor's values are listed in full.
    """

    def __init__(self, listed: int) -> None:
        self.listed = listed
        self.alive: list[Any] = []
        self.nodes: dict[int, Node] = {}
        self.copies: dict[tuple[int, int, int], Summary] = {}

    def look(self, namespace: dict[str, Any]) -> dict[str, TensorState]:
        """Return the state of every tensor that the namespace can name, by its name."""
        tensors = dict(named_tensors(namespace))
        return {name: self.state(name, tensor, tensors) for name, tensor in tensors.items()}

    def state(self, name: str, tensor: torch.Tensor, tensors: Mapping[str, torch.Tensor]) -> TensorState:
        """Return the state of one tensor. `tensors` are all that have a name, by their names."""
        return TensorState(
            name=name,
            id=id(tensor),
            data_ptr=address_of(tensor),
            version=version_of(tensor),
            grad_fn=self.node(grad_fn_of(tensor), tensors),
            requires_grad=tensor.requires_grad,
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            device=str(tensor.device),
            summary=self.summary(tensor),
        )

    def node(self, grad_fn: Any, tensors: Mapping[str, torch.Tensor]) -> Node | None:
        """Return a node of the autograd graph and all behind it, as it was when it was first recorded."""
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
                saved_tensors=tuple(saved_tensors(grad_fn, tensors)),
            )
        return self.nodes[id(grad_fn)]

    @one_thread()
    def summary(self, tensor: torch.Tensor) -> Summary:
        """Copy the values once for each version of each tensor, and only once if the same bits were copied before.

        Where the values are listed, a write that the version counter does not count is noticed too.
        """
        # The address too: `.data = ...` gives a tensor another storage and leaves the version counter alone.
        key = (id(tensor), address_of(tensor), version_of(tensor))
        now = tensor.detach()
        known = self.copies.get(key)
        if known is None or (known.values is not None and not same_bits(known.copy, now)):
            self.alive.append(tensor)
            same = (values for values in self.copies.values() if same_bits(values.copy, now))
            self.copies[key] = next(same, None) or copy_values(now, self.listed)
        return self.copies[key]

    def compare(self, moment: Moment, state: TensorState, reference: Look | None) -> Look:
        """Return the look at a tensor, compared with its reference if there is one of the same shape."""
        if reference is None or reference.state.shape != state.shape:
            return Look(moment, state)
        was, now = reference.state.summary.copy, state.summary.copy
        return Look(moment, state, count(torch.ne, was, now), count(zeroed, was, now), largest(was, now))


def saved_tensors(grad_fn: Any, tensors: Mapping[str, torch.Tensor]) -> Iterator[SavedName]:
    """Yield each named tensor whose storage a node saved for backward.

    A saved tensor can no longer be read once it is overwritten, or once backward has run.
    """
    for saved in saved_by(grad_fn):
        same = (name for name, tensor in tensors.items() if address_of(tensor) == address_of(saved))
        yield from (SavedName(name, saved._version) for name in same)


def named_tensors(namespace: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors that a line can name: variables, a module's parameters and buffers, and their gradients."""
    for name, value in namespace.items():
        held = [(name, value)] if isinstance(value, torch.Tensor) else []
        if isinstance(value, torch.nn.Module):
            state = (*value.named_parameters(), *value.named_buffers())
            held = [(f"{name}.{path}", tensor) for path, tensor in state]
        for path, tensor in held:
            yield path, tensor
            if is_leaf(tensor) and tensor.grad is not None:
                yield f"{path}.grad", tensor.grad
