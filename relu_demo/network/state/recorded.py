"""What is recorded of one tensor of a network, and put back: where its values are, its hooks, gradient and version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from relu_demo.network.state.items import has_items, refill
from relu_demo.tensors.graph import grad_fn_of
from relu_demo.tensors.storage import inner_tensors, is_strided, key_of, shape_of, version_of

_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
_set_versions = getattr(torch._C._autograd, "_unsafe_set_version_counter", None)


class Recorded:
    """
    What is recorded of one tensor, with an alias that still has its storage if `.data` is given another.

    The values in a storage are recorded by the storage; those of a tensor that has none (mkldnn) here.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.alias = tensor.detach()
        self.key = key_of(tensor)
        self.is_lost = False
        """Whether it was written to though its values cannot be copied."""
        self._extent = _extent(tensor)
        self.inner = [] if is_strided(tensor) else inner_tensors(self.alias)
        """The tensors in which its values are, if these are not in its storage."""
        self.values = _clone(self.alias) if self.key is None and not self.inner else None
        self._is_view = tensor._is_view()
        self.is_leaf = has_no_graph(tensor)
        self.requires_grad = tensor.requires_grad
        self._retains_grad = not self._is_view and tensor.retains_grad
        self.grad = tensor.grad if self.is_leaf or self._retains_grad else None
        self.grad_fn = None if self.is_leaf or self._is_view else grad_fn_of(tensor)
        self._hooks = [getattr(tensor, name, None) for name in _HOOKS]
        self._in_hooks = [None if hooks is None else dict(hooks) for hooks in self._hooks]
        self._attributes = tensor.__dict__.copy()
        self.version = self.first_version = version_of(tensor)

    @property
    def held(self) -> list[Any]:
        """Return what is in its attributes and hooks."""
        hooks = [hook for inside in self._in_hooks for hook in (inside or {}).values()]
        return [*self._attributes.values(), *hooks]

    def mark(self) -> None:
        """Remember the version counter, which every write raises."""
        self.version = version_of(self.tensor)

    def is_overwritten(self) -> bool:
        """Return whether it has been written to since `mark`, as far as its version counter tells."""
        return version_of(self.tensor) != self.version

    def restore(self) -> None:
        """Put everything back but the values in its storage."""
        self._restore_place()
        tensor = self.tensor
        if self.is_leaf:
            self._restore_leaf()
        elif self._retains_grad and tensor.grad is not self.grad:
            tensor.grad = self.grad
        for name, hooks, inside in zip(_HOOKS, self._hooks, self._in_hooks, strict=True):
            if hooks is not None or getattr(tensor, name, None) is not None:
                _restore_hooks(tensor, name, hooks, inside)
        if (tensor.__dict__ or self._attributes) and not has_items(tensor.__dict__, self._attributes):
            refill(tensor.__dict__, self._attributes)

    def _restore_leaf(self) -> None:
        tensor = self.tensor
        if not self._is_view and not tensor.is_leaf:
            # Something that requires grad was added to a buffer: it has a grad_fn now.
            tensor.detach_()
        if not self._is_view or has_no_graph(tensor):
            if tensor.requires_grad != self.requires_grad:
                tensor.requires_grad_(self.requires_grad)
            if tensor.grad is not self.grad:
                tensor.grad = self.grad

    def _restore_place(self) -> None:
        tensor, alias = self.tensor, self.alias
        if self.values is not None:
            if self.is_overwritten():
                tensor.data = self.values.clone()
        elif alias.layout != torch.strided and not alias.is_nested:
            # A write may have given it other indices and values; the alias has still the old ones.
            tensor.data = alias
        elif key_of(tensor) != self.key or _extent(tensor) != self._extent:
            tensor.data = alias

    def unrestored(self) -> str | None:
        """Return what of it could not be put back; None if nothing."""
        if self.is_lost:
            return "it was written to, and its values cannot be copied"
        if self.requires_grad and not self.tensor.requires_grad:
            return "it does not require grad any more"
        if self.is_leaf and not has_no_graph(self.tensor):
            return "it has a grad_fn now, as the view that it is"
        if self.grad_fn is not None and grad_fn_of(self.tensor) is not self.grad_fn:
            return "its grad_fn is another now"
        return None


def restore_versions(pairs: Iterable[tuple[Tensor, int]]) -> None:
    """
    Give tensors whose values are as before the versions that they had, where PyTorch lets us: from 2.1 on.

    A graph of the user's that has saved one would be refused its backward.
    """
    changed = [(tensor, version) for tensor, version in pairs if version >= 0 and version_of(tensor) != version]
    if _set_versions is None or not changed:
        return
    tensors, versions = zip(*changed, strict=True)
    try:
        _set_versions(tensors, versions)
    except TypeError:  # before PyTorch 2.6 it takes one
        for tensor, version in changed:
            _set_versions(tensor, version)


def with_inner(found: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the tensors, and those that are in their attributes or that they wrap, once each."""
    waiting, seen = list(found)[::-1], set()
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        yield tensor
        waiting += [each for each in tensor.__dict__.values() if isinstance(each, Tensor)]
        if hasattr(type(tensor), "__tensor_flatten__"):
            waiting += inner_tensors(tensor)


def has_no_graph(tensor: Tensor) -> bool:
    """Return whether a tensor has no `grad_fn`, a view too, without changing that."""
    # To ask a view itself would make its grad_fn anew where its base was written to.
    base: Any = tensor._base if tensor._is_view() else None
    return bool(tensor.is_leaf) if base is None else not base.requires_grad


def _clone(tensor: Tensor) -> Tensor | None:
    with suppress(RuntimeError, NotImplementedError, TypeError):
        return tensor.clone()
    return None


def _extent(tensor: Tensor) -> tuple[object, ...]:
    """Return what `resize_`, `out=` of another shape, or `.data` changes."""
    if type(tensor) in (Tensor, torch.nn.Parameter) and tensor.layout == torch.strided and not tensor.is_nested:
        return (tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype)
    return (shape_of(tensor), tensor.dtype)


def _restore_hooks(tensor: Tensor, name: str, hooks: Any, inside: dict[Any, Any] | None) -> None:
    now = getattr(tensor, name, None)
    if now is not hooks and now is not None:
        # A node of the graph may hold the new dict, too.
        now.clear()
    if now is not hooks:
        setattr(tensor, name, hooks)
    if hooks is not None and dict(hooks) != inside:
        hooks.clear()
        hooks.update(inside)
