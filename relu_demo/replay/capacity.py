"""The capacity: whether this PyTorch and this machine can run a session, checked before anything is allocated."""

from __future__ import annotations

from math import prod

import torch

from relu_demo.errors import SetupError, first_line
from relu_demo.machine.devices import convolving, refusal, usable_device, usable_dtype
from relu_demo.machine.free_memory import amount, free_bytes
from relu_demo.machine.scratch import scratch
from relu_demo.request import KERNEL, LISTED, sizes
from relu_demo.session.lines import Session

MARGIN = 1.1
"""The reported need as a multiple of the computed one."""


def require_capacity(session: Session) -> None:
    """Raise SetupError for a device, dtype or shape with which the session cannot run."""
    request = session.request
    device = usable_device(request.device)
    dtype = usable_dtype(request.dtype, device)
    if (error := refusal(device, dtype)) is not None:
        why = f"{request.device} cannot convolve {request.dtype} ({first_line(error).rstrip('.')})"
        raise SetupError("--dtype", f"{why}; give one of {convolving(device)}") from error
    needed, free = needed_bytes(session, dtype), free_bytes(device)
    if free is not None and needed > free:
        fewer = " or fewer --values" if request.listed > LISTED else ""
        raise SetupError(
            "--shape",
            f"{sizes(request.shape)} in {request.dtype} needs about {amount(needed)} and {amount(free)} "
            f"is free on {request.device}; give a smaller shape{fewer}",
        )


def needed_bytes(session: Session, dtype: torch.dtype) -> int:
    """Return about how many bytes a session needs at its peak, an upper bound.

    It counts tensors, the recorder's copies and the convolution's scratch memory, and the text of listed values.
    """
    batch, channels, height, width = session.request.shape
    input = batch, channels, height, width
    output = batch, channels, height - KERNEL + 1, width - KERNEL + 1
    weight = channels, channels, KERNEL, KERNEL
    # The recorder keeps every result alive, and copies the values of about every second one: the others are equal to
    # an earlier copy. So with gradients.
    lines = [line for part in session.parts[1:] for line in part.lines]
    results = sum(line.source.count(" = ") for line in lines)
    backwards = sum("backward()" in line.source for line in lines)
    alive = 2 * prod(input) + 1.5 * results * prod(output) + (2 + 3 * backwards) * prod(weight)
    elements = alive + workspace(session.request.shape, dtype, backwards > 0)
    # A tensor is shown by the line that makes or changes it, and by its moments.
    moments = sum(line.moment is not None and "." not in line.source for line in lines)
    shown = {
        input: (1, 1),
        output: (1 + results / 2, 1.5 * results + moments),
        weight: (2 + 2 * backwards, 2 + 4 * backwards),
    }
    lists = sum(list_bytes(shape, *times) for shape, times in shown.items() if prod(shape) <= session.request.listed)
    return int(MARGIN * (torch.finfo(dtype).bits // 8 * elements + lists))


def workspace(shape: tuple[int, int, int, int], dtype: torch.dtype, backward: bool) -> int:
    """Return how many elements of `dtype` conv1 needs besides its tensors, an upper bound.

    oneDNN does not compute in float64. Half precision is accumulated, and counted by us, in float32, and may be
    unfolded a third time for backward.
    """
    batch, channels, height, width = shape
    before, after = batch * height * width, batch * (height - KERNEL + 1) * (width - KERNEL + 1)
    blocked, unfolded = scratch(channels, KERNEL, before, after, backward)
    bits = torch.finfo(dtype).bits
    if bits > 32 or (dtype is torch.float32 and not has_onednn()):
        return unfolded
    if dtype is torch.float32:
        return blocked
    in_float32 = 4 * channels * before + 2 * (channels * KERNEL) ** 2
    return max(blocked, unfolded * 3 // 2 if backward else unfolded) + in_float32


def has_onednn() -> bool:
    """Return whether this PyTorch has oneDNN, whose old name was MKL-DNN."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def list_bytes(shape: tuple[int, ...], distinct: float, shown: float) -> float:
    """Return the bytes of a tensor's values as lists, `distinct` times, and as JSON text, `shown` times.

    A number is an object of 24 bytes, a pointer in a list, and two copies of some 20 characters; a list takes 80 bytes.
    """
    elements = prod(shape)
    lists = sum(prod(shape[:depth]) for depth in range(len(shape)))
    return distinct * (32 * elements + 80 * lists) + shown * (52 * elements + 90 * lists)
