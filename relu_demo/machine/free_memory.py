"""How much memory is free, as the operating system, the container and the device's driver report it."""

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
"""Where Linux reports a container's limit and use in bytes, and the name, in its statistics, of the part of that use
that is cached files and can be freed. cgroup version 2, then version 1."""

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
"""Each a thousand times the one before."""


def free_bytes(device: torch.device) -> int | None:
    """Return how many bytes can still be allocated on a device, or None if that is unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type not in ("cpu", "mps"):  # Apple's GPU shares the computer's memory
        return None
    known = [free for free in (system_bytes(), container_bytes()) if free is not None]
    return min(known, default=None)


def system_bytes() -> int | None:
    """Return how many bytes the operating system can still allocate, or None if it does not report that."""
    if sys.platform == "win32":
        return windows_bytes()
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:  # macOS reports only how much there is in all
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def windows_bytes() -> int | None:
    """Return the bytes of free physical memory, by Windows' GlobalMemoryStatusEx (Win32 API), or None if that fails."""
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
    succeeded: bool = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status.available if succeeded else None


def container_bytes() -> int | None:
    """Return how many bytes are left of a Linux container's memory limit, or None if there is no limit."""
    for limit, used, statistics, droppable in CGROUPS:
        try:
            left = int(Path(limit).read_text()) - int(Path(used).read_text())
            parts = dict(line.split() for line in Path(statistics).read_text().splitlines())
            return left + int(parts.get(droppable, 0))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return None


def amount(size: int) -> str:
    """Return a size in bytes as text with a unit: `3.2 GB`."""
    power = min((len(str(size)) - 1) // 3, len(UNITS) - 1)
    return f"{size / 1000**power:.3g} {UNITS[power]}"
