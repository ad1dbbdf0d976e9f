"""
Whether what is asked for fits into memory: Linux grants more than there is, and later kills the process without a word.

Other systems refuse the memory when it is asked for, and PyTorch says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relu_demo.errors import SetupError
from relu_demo.language import _

if TYPE_CHECKING:
    import torch

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
"""Where Linux reports a container's limit and use in bytes (cgroup version 2)."""

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
"""Each a thousand times the one before."""

ONEDNN_BLOCK = 16
"""Channels in one of oneDNN's blocks, at most: the floats that fit into a register of AVX-512."""


def require_memory(needed: int, device: torch.device, why: str, **fields: object) -> None:
    """Raise SetupError if fewer bytes are free on a device than are needed.

    `why` says so, with places for `needed`, `free` and `device`, and for the other fields.
    """
    free = free_bytes(device)
    if free is not None and needed > free:
        raise SetupError("--shape", _(why, needed=amount(needed), free=amount(free), device=device, **fields))


def free_bytes(device: torch.device) -> int | None:
    """Return how many bytes can still be allocated on a device, or None if that is unknown."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    known = [free for free in (_of_system(), _of_container()) if free is not None]
    return min(known, default=None) if device.type == "cpu" else None


def _of_system() -> int | None:
    try:
        lines = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _of_container() -> int | None:
    try:
        limit, used = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        parts = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return limit - used + int(parts["inactive_file"])  # cached files can be dropped
    except (OSError, KeyError, ValueError):  # no such file, or "max"
        return None


def amount(size: int) -> str:
    """Return a size in bytes as text with a unit: `3.2 GB`."""
    power = min((len(str(size)) - 1) // 3, len(UNITS) - 1)
    return f"{size / 1000**power:.3g} {UNITS[power]}"


def scratch(shape: tuple[int, int, int, int], kernel: int) -> int:
    """Return the most elements that a convolution on the CPU takes besides its tensors.

    oneDNN copies input and result with their channels rounded up to whole blocks. What it does not take
    (`_slow_conv2d_forward`) is unfolded.
    """
    batch, channels, height, width = shape
    padded = -(-channels // ONEDNN_BLOCK) * ONEDNN_BLOCK
    return max(2 * padded, kernel**2 * channels) * batch * height * width + (padded * kernel) ** 2
