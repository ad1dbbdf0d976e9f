"""The machine: whether this PyTorch and this computer can run a setup, asked before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from relu_demo.command import sizes
from relu_demo.room import amount, free_bytes
from relu_demo.session import KERNEL, Session
from relu_demo.words import first_line


class SetupError(Exception):
    """A setup that cannot run here. `option` is the option that asks for it; the message says what to give instead."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


def check(session: Session) -> None:
    """Gives None where the session can run. Raises SetupError for a device, dtype or shape that cannot."""
    setup = session.setup
    device = usable_device(setup.device)
    dtype = usable_dtype(setup.dtype)
    try:
        probe = torch.nn.Conv2d(1, 1, KERNEL, device=device, dtype=dtype)(
            torch.randn(1, 1, KERNEL, KERNEL, device=device, dtype=dtype)
        )
        torch.relu_(probe.detach())
    except Exception as error:
        words = first_line(error).rstrip(".")
        raise SetupError("--dtype", f"{setup.device} cannot convolve {setup.dtype} ({words}); give float32") from error
    needed, free = needed_bytes(session, dtype), free_bytes(device)
    if free is not None and needed > free:
        raise SetupError(
            "--shape",
            f"{sizes(setup.shape)} in {setup.dtype} needs about {amount(needed)} and {amount(free)} "
            f"is free on {setup.device}; give a smaller shape",
        )


def usable_device(name: str) -> torch.device:
    """The device of that name. Raises SetupError where this PyTorch does not know it or this machine lacks it."""
    try:
        device = torch.device(name)
    except Exception as error:
        raise SetupError("--device", f"PyTorch knows no device '{name}'; here there is: {here()}") from error
    if device.type == "meta":
        raise SetupError("--device", f"meta has no values to show; here there is: {here()}")
    try:
        torch.empty(1, device=device)
    except Exception as error:
        why = f"no {name} on this machine ({first_line(error).rstrip('.')})"
        raise SetupError("--device", f"{why}; here there is: {here()}") from error
    return device


def here() -> str:
    """The devices of this machine, by PyTorch's names, as a list in words."""
    names = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if hasattr(torch.backends, "mps") and torch.backends.mps.is_available():
        names.append("mps")
    return ", ".join(names)


def floating_dtypes() -> Iterator[str]:
    """The names of all floating dtypes of this PyTorch, one name each."""
    for name, value in sorted(vars(torch).items()):
        if isinstance(value, torch.dtype) and value.is_floating_point and str(value) == f"torch.{name}":
            yield name


def usable_dtype(name: str) -> torch.dtype:
    """The floating dtype of that name. Raises SetupError for an unknown, integer or complex one."""
    dtype = getattr(torch, name, None)
    names = ", ".join(floating_dtypes())
    if not isinstance(dtype, torch.dtype):
        raise SetupError("--dtype", f"PyTorch knows no dtype '{name}'; give one of {names}")
    if not dtype.is_floating_point:
        raise SetupError("--dtype", f"{name} is not a floating dtype; give one of {names}")
    return dtype


def needed_bytes(session: Session, dtype: torch.dtype) -> int:
    """About how many bytes a session needs at its peak: its tensors, our copies, the convolution's workspace."""
    batch, channels, height, width = session.setup.shape
    input = batch * channels * height * width
    output = batch * channels * (height - KERNEL + 1) * (width - KERNEL + 1)
    weight = channels * channels * KERNEL * KERNEL
    # Every result is kept until the end, as is a copy of about each second one; gradients and their copies likewise.
    results = sum(line.source.count(" = ") for part in session.parts[1:] for line in part.lines)
    backwards = sum("backward()" in line.source for part in session.parts for line in part.lines)
    kept = 2 * input + 1.5 * results * output + (2 + 3 * backwards) * weight
    # Only float32 has a convolution that works without unfolding its input (measured on the CPU with PyTorch 2.13).
    unfolded = output * KERNEL * KERNEL if dtype is not torch.float32 else 3 * (input + output)
    return int(torch.empty(0, dtype=dtype).element_size() * (kept + unfolded))
