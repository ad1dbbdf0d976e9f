"""How much memory is free, as the operating system and its container tell it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from relu_demo.machine import free_memory as room


def test_a_container_can_drop_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CGROUP", tmp_path)
    monkeypatch.setattr(room, "MEMINFO", tmp_path / "meminfo")
    files = {"memory.max": "1000\n", "memory.current": "900\n", "memory.stat": "anon 300\ninactive_file 250\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert room.free_bytes(torch.device("cpu")) == 350
    (tmp_path / "meminfo").write_text("MemTotal:  9 kB\nMemAvailable:  0 kB\n")
    assert room.free_bytes(torch.device("cpu")) == 0
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "meminfo").unlink()
    assert room.free_bytes(torch.device("cpu")) is None
