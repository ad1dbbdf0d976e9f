"""The room: how much memory is free, as the operating system, its container and the device's driver tell it."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import torch

CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file",
    ),
)
"""Where Linux tells a container's limit and use, in bytes, and by what name what of its use are files that it can drop:
version 2, then version 1."""

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
"""Each a thousand times the one before."""


def free_bytes(device: torch.device) -> int | None:
    """How many bytes can still be allocated on the device, or None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type not in ("cpu", "mps"):  # Apple's GPU shares the computer's memory
        return None
    told = [room for room in (system_bytes(), container_bytes()) if room is not None]
    return min(told, default=None)


def system_bytes() -> int | None:
    """The memory that the operating system can still give, in bytes, or None where it does not say."""
    if sys.platform == "win32":
        return windows_bytes()
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:  # macOS tells only how much there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def windows_bytes() -> int | None:
    """The free physical memory in bytes, from Windows' GlobalMemoryStatusEx (Win32 API), or None where it fails."""
    if sys.platform != "win32":
        return None

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            ("total", ctypes.c_uint64),
            ("available", ctypes.c_uint64),
            ("others", ctypes.c_uint64 * 5),
        )

    status = Status(length=ctypes.sizeof(Status))
    told: bool = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status.available if told else None


def container_bytes() -> int | None:
    """What is left of a Linux container's memory limit, in bytes, or None where there is no limit."""
    for limit, used, statistics, droppable in CGROUPS:
        try:
            left = int(Path(limit).read_text()) - int(Path(used).read_text())
            told = dict(line.split() for line in Path(statistics).read_text().splitlines())
            return left + int(told.get(droppable, 0))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return None


def amount(size: int) -> str:
    """A size in bytes in words: `3.2 GB`."""
    power = min((len(str(size)) - 1) // 3, len(UNITS) - 1)
    return f"{size / 1000**power:.3g} {UNITS[power]}"
