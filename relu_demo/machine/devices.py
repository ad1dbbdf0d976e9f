"""The devices and floating dtypes that this PyTorch has on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from relu_demo.errors import SetupError, first_line


def usable_device(name: str) -> torch.device:
    """Return the device of that name. Raise SetupError if this PyTorch does not know it or this machine lacks it."""
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
    """Return the names of this machine's devices, as PyTorch calls them, with commas between."""
    names = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if hasattr(torch.backends, "mps") and torch.backends.mps.is_available():
        names.append("mps")
    return ", ".join(names)


def floating_dtypes() -> Iterator[str]:
    """Yield the name of each floating dtype of this PyTorch, without its aliases."""
    for name, value in sorted(vars(torch).items()):
        if isinstance(value, torch.dtype) and value.is_floating_point and str(value) == f"torch.{name}":
            yield name


def usable_dtype(name: str) -> torch.dtype:
    """Return the floating dtype of that name. Raise SetupError for an unknown, integer or complex one."""
    dtype = getattr(torch, name, None)
    names = ", ".join(floating_dtypes())
    if not isinstance(dtype, torch.dtype):
        raise SetupError("--dtype", f"PyTorch knows no dtype '{name}'; give one of {names}")
    if not dtype.is_floating_point:
        raise SetupError("--dtype", f"{name} is not a floating dtype; give one of {names}")
    return dtype
