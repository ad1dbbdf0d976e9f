"""The values of tensors: copied, and compared block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from relu_demo.machine.threads import one_thread
from relu_demo.replay.trace import Summary

CORNER = 8
"""Rows and columns of the corner that is listed of every tensor."""

BLOCK = 2**19
"""Elements compared at a time: what fits into a processor's cache."""


@one_thread()
def copy_values(tensor: torch.Tensor, listed: int) -> Summary:
    """Copy a tensor's values and summarise them. List them in full if they are at most `listed` elements."""
    copy = tensor.clone()
    elements = copy.numel()
    # Half precision lacks some of these reductions on some devices.
    numbers = copy.float() if copy.element_size() < 4 else copy
    low, high = (extreme.item() for extreme in torch.aminmax(numbers))
    matrix = copy.reshape(-1, *copy.shape[-2:])[0]  # of one dimension or none the tensor itself
    corner = matrix.reshape(-1, matrix.shape[-1] if matrix.dim() else 1)[:CORNER, :CORNER]
    return Summary(
        copy=copy,
        elements=elements,
        negatives=count(lambda x: x < 0, numbers),
        zeros=elements - int(torch.count_nonzero(numbers)),
        min=low,
        max=high,
        values=copy.tolist() if elements <= listed else None,
        corner=corner.tolist(),
    )


def blocks(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Split tensors of one shape into blocks: the masks of whole tensors would take a quarter of their memory."""
    return zip(*(torch.split(tensor.reshape(-1), BLOCK) for tensor in tensors), strict=True)


@one_thread()
def count(where: Callable[..., torch.Tensor], *tensors: torch.Tensor) -> int:
    """Count the elements for which `where` is true, given tensors of one shape."""
    return sum(int(torch.count_nonzero(where(*block))) for block in blocks(*tensors))


@one_thread()
def largest(was: torch.Tensor, now: torch.Tensor) -> float:
    """Return the largest absolute difference between two tensors of one shape."""
    return max((float((there - here).abs().max()) for here, there in blocks(was, now)), default=0.0)


def zeroed(was: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    """Return the mask of the elements that were negative and are zero now."""
    return (was < 0) & (now == 0)
