"""Which line made a tensor one that must not be written to: several views, an expanded one, a view of a leaf, ..."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from relu_demo.sanitizer.observer import operands
from relu_demo.tensors.graph import is_leaf
from relu_demo.tensors.storage import key_of

_SEVERAL = {"unbind", "chunk", "split", "tensor_split", "hsplit", "vsplit", "dsplit"}
_SEVERAL |= {"split_with_sizes", "unsafe_split"}
_EXPANDING = {"expand", "expand_as", "broadcast_to", "broadcast_tensors", "meshgrid", "cartesian_prod"}
VIEWING = {"__getitem__", "select", "narrow", "view", "view_as", "reshape", "t", "transpose", "permute", "squeeze"}
VIEWING |= {"unsqueeze", "flatten", "diagonal", "movedim", "detach", "unfold", "as_strided", "swapaxes", "unflatten"}
"""Functions and methods that give a view of their tensor."""
_LEAVES = {"requires_grad_", "__set__"}


@cache
def kind_of(function: Any) -> str | None:
    """Return what kind of forbidden tensor a function of torch makes; None for most functions."""
    name = getattr(function, "__name__", "")
    if name in _SEVERAL or name in _EXPANDING or name in _LEAVES:
        return "forbids"
    return {"__iter__": "iterates"}.get(name, "views" if name in VIEWING else None)


P = TypeVar("P")


class Makers(Generic[P]):
    """The lines that made tensors which PyTorch may refuse to write to; each is forgotten with its tensor."""

    def __init__(self) -> None:
        self.known: dict[int, dict[int, tuple[weakref.ref[Tensor], P]]] = {}
        """By storage, and by the id of each of its tensors that lives: the line that made that."""
        self._writes: dict[int, dict[P, None]] = {}
        """Of each such storage who wrote to it since, in order."""

    def remember(
        self, kind: str | None, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, place: Callable[[], P]
    ) -> Any:
        """Note where a result was made, if it may not be written to. Return the result, which may be an iterator."""
        if kind is None and not torch.is_inference_mode_enabled() and "requires_grad" not in kwargs:
            return result
        if kind == "iterates":
            # Each item is a view of its own; the tensor is not iterated over twice.
            items = list(result)
            self._note(items, place)
            return iter(items)
        if kind == "views" and not torch.is_inference_mode_enabled():
            base = next((tensor for _, tensor in operands(args, kwargs)), None)
            if base is None or not base.requires_grad or (torch.is_grad_enabled() and not is_leaf(base)):
                return result
        self._note(result, place)
        return result

    def of(self, tensor: Tensor) -> P | None:
        """Return the line that made a write to the tensor forbidden; None where it was not seen."""
        alive = self.known.get(key_of(tensor) or 0, {})
        made = alive.get(id(tensor)) or next(reversed(alive.values()), None)
        return made[1] if made is not None else None

    def wrote(self, tensor: Tensor, place: Callable[[], P]) -> None:
        """Note a write, if it is to the memory of a tensor whose maker is known: it may give up that one."""
        key = key_of(tensor) if self.known else None
        if key is not None and key in self.known:
            self._writes.setdefault(key, {})[place()] = None

    def writes(self, tensor: Tensor) -> tuple[P, ...]:
        """Return who has written to the tensor's memory since it, or another of that memory, was made."""
        return tuple(self._writes.get(key_of(tensor) or 0, ()))

    def _note(self, result: Any, place_of: Callable[[], P]) -> None:
        place = place_of()
        for _, tensor in operands((result,), {}):
            key = key_of(tensor)
            if key is not None:
                alive = weakref.ref(tensor, partial(self._forget, key, id(tensor)))
                self.known.setdefault(key, {})[id(tensor)] = alive, place

    def _forget(self, key: int, number: int, ref: object) -> None:
        del self.known[key][number]
        if not self.known[key]:
            del self.known[key]
            self._writes.pop(key, None)
