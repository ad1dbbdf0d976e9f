"""Whether this PyTorch and this computer can run a session, asked before anything is allocated."""

from __future__ import annotations

from math import prod

import torch

from relu_demo.errors import SetupError, first_line
from relu_demo.machine.devices import usable_device, usable_dtype
from relu_demo.machine.free_memory import amount, free_bytes
from relu_demo.request import KERNEL, LISTED, sizes
from relu_demo.session.lines import Session

BLOCK = 16
"""How many channels oneDNN has side by side, at most: as many as floats fit into a register of AVX-512."""

SPARE = 1.1
"""What is told of the memory that is needed, to what is counted."""


def require_capacity(session: Session) -> None:
    """Raise SetupError for a device, dtype or shape with which the session cannot run."""
    request = session.request
    device = usable_device(request.device)
    dtype = usable_dtype(request.dtype)
    try:
        probe = torch.nn.Conv2d(1, 1, KERNEL, device=device, dtype=dtype)(
            torch.randn(1, 1, KERNEL, KERNEL, device=device, dtype=dtype)
        )
        torch.relu_(probe.detach())
    except Exception as error:
        words = first_line(error).rstrip(".")
        raise SetupError(
            "--dtype", f"{request.device} cannot convolve {request.dtype} ({words}); give float32"
        ) from error
    needed, free = needed_bytes(session, dtype), free_bytes(device)
    if free is not None and needed > free:
        fewer = " or fewer --values" if request.listed > LISTED else ""
        raise SetupError(
            "--shape",
            f"{sizes(request.shape)} in {request.dtype} needs about {amount(needed)} and {amount(free)} "
            f"is free on {request.device}; give a smaller shape{fewer}",
        )


def needed_bytes(session: Session, dtype: torch.dtype) -> int:
    """About how many bytes a session needs at its peak, more rather than less.

    That is its tensors, our copies, the convolution's workspace; where values are listed, lists and text as well.
    """
    batch, channels, height, width = session.request.shape
    input = batch, channels, height, width
    output = batch, channels, height - KERNEL + 1, width - KERNEL + 1
    weight = channels, channels, KERNEL, KERNEL
    # Every result is kept until the end, as is a copy of about each second one; gradients and their copies likewise.
    lines = [line for part in session.parts[1:] for line in part.lines]
    results = sum(line.source.count(" = ") for line in lines)
    backwards = sum("backward()" in line.source for line in lines)
    kept = 2 * prod(input) + 1.5 * results * prod(output) + (2 + 3 * backwards) * prod(weight)
    elements = kept + workspace(session.request.shape, dtype, backwards > 0)
    # A tensor is shown by the line that makes or changes it, and by its moments.
    moments = sum(line.moment is not None and "." not in line.source for line in lines)
    shown = {
        input: (1, 1),
        output: (1 + results / 2, 1.5 * results + moments),
        weight: (2 + 2 * backwards, 2 + 4 * backwards),
    }
    lists = sum(list_bytes(shape, *times) for shape, times in shown.items() if prod(shape) <= session.request.listed)
    return int(SPARE * (torch.finfo(dtype).bits // 8 * elements + lists))


def workspace(shape: tuple[int, int, int, int], dtype: torch.dtype, backward: bool) -> float:
    """How many elements a convolution takes besides its tensors, at most (measured on the CPU, PyTorch 1.13 and 2.13).

    oneDNN has its channels in blocks of up to 16, and float64 is none of its dtypes: there, and where it knows no half
    precision, the input is unfolded, and for backward its gradient too.
    """
    batch, channels, height, width = shape
    before, after = batch * height * width, batch * (height - KERNEL + 1) * (width - KERNEL + 1)
    blocks = -(-channels // BLOCK) * BLOCK
    reordered = blocks * (before + after) + (blocks * KERNEL) ** 2
    if backward:
        reordered += blocks * before + (blocks * KERNEL) ** 2
    unfolded = channels * after * KERNEL * KERNEL
    if dtype is torch.float32:
        return reordered if has_onednn() else unfolded * (2 if backward else 1)
    if torch.finfo(dtype).bits > 32:
        return unfolded * (2 if backward else 1)
    # Half precision is added up, and counted by us, in float32.
    in_float32 = 4 * channels * before + 2 * (channels * KERNEL) ** 2
    return max(reordered, unfolded * (3 if backward else 1)) + in_float32


def has_onednn() -> bool:
    """Whether this PyTorch has oneDNN, by its old name."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def list_bytes(shape: tuple[int, ...], distinct: float, shown: float) -> float:
    """What a tensor's values take as lists, each of its `distinct` values once, and as JSON, as often as it is `shown`.

    A number is an object of 24 bytes with a place in a list, and two copies of some 20 characters; a list takes 80.
    """
    elements = prod(shape)
    lists = sum(prod(shape[:depth]) for depth in range(len(shape)))
    return distinct * (32 * elements + 80 * lists) + shown * (52 * elements + 90 * lists)
