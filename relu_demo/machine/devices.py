"""The devices and floating dtypes that this PyTorch has on this machine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch

from relu_demo.errors import SetupError, first_line
from relu_demo.language import _


def usable_device(name: str) -> torch.device:
    """Return the device of that name. Raise SetupError if this PyTorch does not know it or this machine lacks it."""

    def told() -> dict[str, str]:
        return {"name": name, "devices": available()}

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a type of device that PyTorch gives up
            device = torch.device(name)
    except Exception as error:
        raise SetupError("--device", _("unknown device '{name}'; available here: {devices}", **told())) from error
    if device.type == "meta":
        raise SetupError("--device", _("meta has no values to show; available here: {devices}", **told()))
    try:
        torch.empty(1, device=device)
    except Exception as error:
        words = first_line(error).rstrip(".")
        if len(words) <= 80:  # longer ones are about how PyTorch itself was built
            why = _("no {name} on this machine ({why}); available here: {devices}", why=words, **told())
        else:
            why = _("no {name} on this machine; available here: {devices}", **told())
        raise SetupError("--device", why) from error
    return device


def available() -> str:
    """Return the names of this machine's devices, as PyTorch calls them, with commas between."""
    names = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return ", ".join(names)


def floating_dtypes() -> Iterator[str]:
    """Yield the name of each floating dtype of this PyTorch, without its aliases."""
    for name, value in sorted(vars(torch).items()):
        if isinstance(value, torch.dtype) and value.is_floating_point and str(value) == f"torch.{name}":
            yield name


def usable_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the floating dtype of that name. Raise SetupError for an unknown, integer or complex one.

    The message lists those that a convolution on `device` can have.
    """

    def told() -> dict[str, str]:
        return {"name": name, "dtypes": convolving(device)}

    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise SetupError("--dtype", _("unknown dtype '{name}'; give one of {dtypes}", **told()))
    if not dtype.is_floating_point:
        raise SetupError("--dtype", _("{name} is not a floating-point dtype; give one of {dtypes}", **told()))
    return dtype


def convolving(device: torch.device) -> str:
    """Return the names of the floating dtypes in which a device can convolve, with commas between."""
    return ", ".join(name for name in floating_dtypes() if refusal(device, getattr(torch, name)) is None)


def refusal(device: torch.device, dtype: torch.dtype) -> Exception | None:
    """Return what PyTorch raises for a convolution and a ReLU in place in this dtype on this device, or None."""
    try:
        conv = torch.nn.Conv2d(1, 1, 3, device=device, dtype=dtype)
        torch.relu_(conv(torch.randn(1, 1, 3, 3, device=device, dtype=dtype)).detach())
    except Exception as error:
        return error
    return None
