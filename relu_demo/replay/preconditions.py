"""Whether this PyTorch and this machine can run a session, checked before anything is allocated."""

from __future__ import annotations

from math import prod

import torch

from relu_demo.errors import SetupError, first_line
from relu_demo.language import _, mark
from relu_demo.machine.devices import convolving, refusal, usable_device, usable_dtype
from relu_demo.machine.free_memory import require_memory, scratch
from relu_demo.request import KERNEL, LISTED, Replay, sizes
from relu_demo.session.lines import Session


def require_capacity(session: Session, request: Replay) -> None:
    """Raise SetupError for a device, dtype or shape with which the session cannot run."""
    device = usable_device(request.device)
    dtype = usable_dtype(request.dtype, device)
    if (error := refusal(device, dtype)) is not None:
        told = {"device": request.device, "dtype": request.dtype, "why": first_line(error).rstrip(".")}
        why = mark("{device} cannot convolve {dtype} ({why}); give one of {dtypes}", dtypes=convolving(device), **told)
        raise SetupError("--dtype", _(why)) from error
    smaller = mark("{shape} in {dtype} needs about {needed} and {free} is free on {device}; give a smaller shape")
    fewer = mark(
        "{shape} in {dtype} needs about {needed} and {free} is free on {device}; give a smaller shape or fewer --values"
    )
    why = fewer if request.listed > LISTED else smaller
    needed = needed_bytes(session, request, dtype)
    require_memory(needed, device, why, shape=sizes(request.shape), dtype=request.dtype)


def needed_bytes(session: Session, request: Replay, dtype: torch.dtype) -> int:
    """Return the most bytes that a session needs.

    It keeps every result and a copy of it. With gradients a convolution runs both ways. Half precision is computed in
    float32. A number that is listed takes some 100 bytes, as an object and as text.
    """
    shape = request.shape
    sources = [line.source for line in session.lines]
    results = sum(source.count(" = ") for source in sources)
    backwards = sum("backward()" in source for source in sources)
    numbers = 2 * (1 + results) * prod(shape) + 6 * (1 + backwards) * (shape[1] * KERNEL) ** 2
    working = numbers + (2 if backwards else 1) * scratch(shape, KERNEL)
    return working * max(4, torch.finfo(dtype).bits // 8) + 100 * numbers * (prod(shape) <= request.listed)
