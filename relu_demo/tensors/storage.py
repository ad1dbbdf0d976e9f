"""A tensor's memory: which storage, which region of it, and whether two regions share an element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import Parameter

_ORDINARY = (Tensor, Parameter)

if hasattr(Tensor, "untyped_storage"):

    def storage_of(tensor: Tensor) -> Any:
        """The untyped storage. Raises where there is none (sparse, quantized by hand, functorch wrappers)."""
        # A jagged tensor's own has nothing in it.
        inner = tensor if type(tensor) in _ORDINARY else getattr(tensor, "_values", tensor)
        return (inner if isinstance(inner, Tensor) else tensor).untyped_storage()

else:

    def storage_of(tensor: Tensor) -> Any:
        """The untyped storage, under its name before PyTorch 2.0."""
        return getattr(tensor, "_storage")()  # noqa: B009 - stubs do not know it


def address(tensor: Tensor) -> int:
    """The address of the tensor's storage, in bytes, whatever part of it the tensor views."""
    return int(storage_of(tensor).data_ptr())


def key_of(tensor: Tensor) -> int | None:
    """
    A number that two tensors share exactly if they share a storage; None if the tensor has no storage.

    It names the storage as long as that lives, or as a StorageWeakRef to it is kept.
    """
    try:
        key: int = storage_of(tensor)._cdata
    except (RuntimeError, NotImplementedError, AttributeError, TypeError):
        return None
    return key


def is_gone(reference: StorageWeakRef) -> bool:
    """Whether the storage has been freed."""
    return bool(reference.expired())  # type: ignore[no-untyped-call]


def weak_ref(tensor: Tensor) -> StorageWeakRef:
    """A weak reference that is not fooled when the storage's address is used again."""
    return StorageWeakRef(storage_of(tensor))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Region:
    """The elements of a storage that a tensor covers, in bytes."""

    start: int
    levels: tuple[tuple[int, int], ...]
    """(stride, size) of each dimension longer than 1, and (1, itemsize) last."""

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.start + sum((size - 1) * stride for stride, size in self.levels) + 1


def region_of(tensor: Tensor) -> Region | None:
    """The region of a strided tensor, all of its storage for a nested one; None if it has no elements, or is sparse."""
    if not tensor.numel():
        return None
    if tensor.is_nested:
        return Region(0, ((1, int(storage_of(tensor).nbytes())),))
    if tensor.layout != torch.strided:
        return None
    item = tensor.element_size()
    levels = [(int(s) * item, n) for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n > 1]
    if item > 1:
        levels.append((1, item))
    return Region(int(tensor.storage_offset()) * item, tuple(levels))


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """The tensor's shape; of a nested one, whose parts have one each, the shape of what they lie in."""
    if not tensor.is_nested:
        return tuple(tensor.shape)
    inner = getattr(tensor, "_values", None)
    return tuple(inner.shape) if isinstance(inner, Tensor) else (tensor.numel(),)


def dense(tensor: Tensor) -> Tensor:
    """The elements as a strided tensor, by operations that autograd knows."""
    if tensor.is_nested:
        return tensor.values() if tensor.layout != torch.strided else tensor.to_padded_tensor(0.0)
    return tensor.to_dense() if tensor.is_sparse else tensor


def overlap(a: Region | None, b: Region | None) -> bool:
    """
    Tells whether two regions of one storage share a byte.

    False is certain. True is certain for regions whose strides nest (slices, chunks, narrows of one tensor); for
    other patterns it errs on the side of True.
    """
    if a is None or b is None:
        return False
    if a == b:
        return True
    if a.end <= b.start or b.end <= a.start:
        return False
    strides = sorted({s for s, _ in (*a.levels, *b.levels) if s > 0}, reverse=True)
    return not any(_disjoint(a, b, strides, origin) for origin in (0, min(a.start, b.start)))


def _disjoint(a: Region, b: Region, strides: list[int], origin: int) -> bool:
    # Written in digits of the strides, each region is a box; boxes are disjoint if they are in one digit. This
    # holds only if no digit can carry into the one above.
    boxes = [_box(region, strides, origin) for region in (a, b)]
    if boxes[0] is None or boxes[1] is None:
        return False
    return any(a1 < b0 or b1 < a0 for (a0, a1), (b0, b1) in zip(*boxes, strict=True))


def _box(region: Region, strides: list[int], origin: int) -> list[tuple[int, int]] | None:
    rest = region.start - origin
    box = []
    for stride in strides:
        low, rest = divmod(rest, stride)
        size = 1 + sum(n - 1 for s, n in region.levels if s == stride)
        box.append((low, low + size - 1))
    for i, stride in enumerate(strides):
        below = sum(high * s for (_, high), s in zip(box[i + 1 :], strides[i + 1 :], strict=True)) + rest
        if below >= stride:
            return None
    return box


def overlaps_itself(tensor: Tensor) -> bool:
    """Whether two elements of the tensor may be one (an expanded tensor). False is certain."""
    region = region_of(tensor)
    if region is None:
        return False
    reach = 0
    for stride, size in sorted(region.levels):
        if stride <= reach:
            return True
        reach += stride * (size - 1)
    return False


def is_strided(tensor: Tensor) -> bool:
    """Whether it is a plain view of its storage: neither nested, sparse, quantized nor of a class of its own."""
    if type(tensor) not in (Tensor, torch.nn.Parameter) or key_of(tensor) is None:
        return False
    return tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_nested
