"""A tensor's storage, by whichever name this PyTorch gives it."""

from __future__ import annotations

from typing import Any

from torch import Tensor
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
