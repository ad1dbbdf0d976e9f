"""A tensor's memory: which storage, which region of it, and whether two regions share an element."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import Parameter

_PLAIN_TENSORS = (Tensor, Parameter)

if hasattr(Tensor, "untyped_storage"):

    def storage_of(tensor: Tensor) -> Any:
        """Return the untyped storage. Raise an error of PyTorch's if there is none (sparse, functorch wrappers)."""
        # The storage of a jagged tensor itself is empty.
        inner = tensor if type(tensor) in _PLAIN_TENSORS else getattr(tensor, "_values", tensor)
        return (inner if isinstance(inner, Tensor) else tensor).untyped_storage()

else:

    def storage_of(tensor: Tensor) -> Any:
        """Return the untyped storage, by its name before PyTorch 2.0."""
        return getattr(tensor, "_storage")()  # noqa: B009 - the stubs lack it


def address_of(tensor: Tensor) -> int:
    """Return the address of the tensor's storage, in bytes: where it begins, whatever part of it the tensor views."""
    return int(storage_of(tensor).data_ptr())


def key_of(tensor: Tensor) -> int | None:
    """Return the key of the tensor's storage: two tensors have the same one exactly if they share a storage.

    None if the tensor has no storage. A key stays the storage's own while that or a StorageWeakRef to it is alive.
    """
    try:
        key: int = storage_of(tensor)._cdata
    except (RuntimeError, NotImplementedError, AttributeError, TypeError):
        return None
    return key


def version_of(tensor: Tensor) -> int:
    """Return the version counter, which every write raises; -1 of an inference tensor, which has none."""
    return -1 if tensor.is_inference() else int(tensor._version)


def is_gone(reference: StorageWeakRef) -> bool:
    """Return whether the storage has been freed."""
    return bool(reference.expired())  # type: ignore[no-untyped-call]


def weak_ref(tensor: Tensor) -> StorageWeakRef:
    """Return a weak reference to the tensor's storage. It stays dead when the address is used again."""
    return StorageWeakRef(storage_of(tensor))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Region:
    """The bytes of a storage that a tensor covers."""

    start: int
    """The first byte, counted from where the storage begins."""
    levels: tuple[tuple[int, int], ...]
    """(stride in bytes, size) of each dimension longer than 1, and (1, bytes of an element) last."""

    @property
    def end(self) -> int:
        """Return one past the last byte."""
        return self.start + sum((size - 1) * stride for stride, size in self.levels) + 1


def region_of(tensor: Tensor) -> Region | None:
    """Return the tensor's region, all of its storage if it is nested; None if it has no elements or is not strided."""
    if not tensor.numel():
        return None
    if tensor.is_nested:
        return Region(0, ((1, int(storage_of(tensor).nbytes())),))
    if tensor.layout != torch.strided:
        return None
    item = tensor.element_size()
    levels = [(int(s) * item, n) for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n > 1]
    return Region(int(tensor.storage_offset()) * item, (*levels, (1, item)))


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Return the tensor's shape; for a nested tensor the shape of the one tensor that holds all of its parts."""
    if not tensor.is_nested:
        return tuple(tensor.shape)
    inner = getattr(tensor, "_values", None)
    return tuple(inner.shape) if isinstance(inner, Tensor) else (tensor.numel(),)


def is_freed(tensor: Tensor) -> bool:
    """Return whether a tensor's storage is smaller than what it reaches: reading an element would crash."""
    region = region_of(tensor) if is_strided(tensor) and tensor.device.type != "meta" else None
    return region is not None and region.end > int(storage_of(tensor).nbytes())


INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Whole numbers with so many bytes, to compare bits."""


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors have the same shape, dtype, device and bits; False where these cannot be seen."""
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device or a.device.type == "meta":
        return False
    with suppress(RuntimeError, NotImplementedError, TypeError):
        whole = INTEGERS.get(a.element_size(), torch.uint8)  # complex128 has sixteen
        return torch.equal(a.reshape(-1).view(whole), b.reshape(-1).view(whole))
    return False


def bytes_of(storage: Any) -> Tensor:
    """Return all of an untyped storage as a tensor of its bytes."""
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def is_wrapper(tensor: Tensor) -> bool:
    """Return whether a tensor of a subclass has its values in tensors that it holds, and no bytes of its own."""
    try:
        return bool(inner_tensors(tensor)) and bool(storage_of(tensor).data_ptr() == 0)
    except (RuntimeError, NotImplementedError, AttributeError, TypeError):
        return True


def inner_tensors(tensor: Tensor) -> list[Tensor]:
    """Return the tensors that hold the values of a sparse tensor or of a wrapper; an empty list for a plain tensor."""
    if type(tensor) not in _PLAIN_TENSORS:
        return [each for each in tensor.__dict__.values() if isinstance(each, Tensor)]
    if tensor.layout == torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    return []


def values_now(tensor: Tensor) -> Tensor:
    """Return a copy of a tensor's values that no later write reaches; an empty tensor if the storage was freed."""
    alias = tensor.detach()
    if is_freed(alias):
        return torch.empty(0, dtype=alias.dtype, device=alias.device)
    try:
        return alias.clone()
    except RuntimeError:  # as of a kind of quantized tensors, and of bits
        return dense(alias).clone() if alias.is_quantized else alias.view(torch.uint8).clone()


def dense(tensor: Tensor) -> Tensor:
    """Return the elements as a strided tensor, by differentiable operations.

    What has few operations comes as its like with more: float8 as float32, quantized numbers as what they stand for.
    """
    if tensor.is_nested:
        return tensor.values() if tensor.layout != torch.strided else tensor.to_padded_tensor(0.0)
    if type(tensor) not in _PLAIN_TENSORS and not tensor.requires_grad and is_wrapper(tensor):
        return torch.cat([dense(part).flatten() for part in inner_tensors(tensor)])
    full = tensor.dequantize() if tensor.is_quantized else tensor
    full = full if full.layout == torch.strided else full.to_dense()
    return full.float() if "float8" in str(full.dtype) else full


def overlap(a: Region | None, b: Region | None) -> bool:
    """Return whether two regions of one storage share a byte.

    False is certain. True is certain if the strides nest (slices, chunks, narrows of one tensor); otherwise it can be
    said of two that share none.
    """
    if a is None or b is None:
        return False
    if a == b:
        return True
    if a.end <= b.start or b.end <= a.start:
        return False
    strides = sorted({s for s, _ in (*a.levels, *b.levels) if s > 0}, reverse=True)
    return not any(_disjoint(a, b, strides, origin) for origin in (0, min(a.start, b.start)))


def apart(a: Region | None, b: Region | None) -> bool:
    """Return whether two regions of one storage certainly share no byte."""
    return a is not None and b is not None and not overlap(a, b)


Geometry = tuple[tuple[int, ...], tuple[int, ...], int, torch.dtype]
"""Shape, strides, offset and dtype of a tensor: how it lies in its storage."""


def geometry_of(tensor: Tensor) -> Geometry | None:
    """Return how a tensor lies in its storage; None if it is not strided."""
    if not is_strided(tensor):
        return None
    return tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset()), tensor.dtype


def elements_at(geometry: Geometry | None, others: list[Geometry | None]) -> Tensor | None:
    """Return which elements of a tensor of this geometry are elements of the others, of the same storage: bool.

    None for all, and where nobody can tell.
    """
    if geometry is None or not others or {other and other[3] for other in others} != {geometry[3]}:
        return None
    shapes = [each[:3] for each in (geometry, *others) if each is not None]
    ends = [
        start + sum(max(n - 1, 0) * stride for n, stride in zip(shape, strides, strict=True))
        for shape, strides, start in shapes
    ]
    inside = torch.zeros(1 + max(ends), dtype=torch.bool)
    for shape, strides, start in shapes[1:]:
        inside.as_strided(shape, strides, start).fill_(True)
    found = inside.as_strided(*shapes[0])
    return None if bool(found.all()) else found.clone()


def _disjoint(a: Region, b: Region, strides: list[int], origin: int) -> bool:
    # Written in digits of the strides, each region is a box. Two boxes are disjoint if they are so in one digit,
    # provided that no digit can carry into the next.
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
    """Return whether two elements of the tensor may be the same bytes, as in an expanded tensor. False is certain."""
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
    """Return whether the tensor is plain strides over its storage: not nested, sparse, quantized, nor of a subclass."""
    if type(tensor) not in _PLAIN_TENSORS or key_of(tensor) is None:
        return False
    return tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_nested
