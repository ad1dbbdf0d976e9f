"""How much memory is free, as the operating system and its container tell it."""

from __future__ import annotations

from pathlib import Path

import pytest

from relu_demo.machine import free_memory as room


def test_a_container_can_drop_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def groups(*contents: str) -> tuple[tuple[str, str, str, str], ...]:
        names = []
        for number, content in enumerate(contents):
            (tmp_path / str(number)).write_text(content)
            names.append(str(tmp_path / str(number)))
        return ((names[0], names[1], names[2], "inactive_file"),)

    monkeypatch.setattr(room, "CGROUPS", groups("1000\n", "900\n", "anon 300\ninactive_file 250\n"))
    assert room.container_bytes() == 350
    monkeypatch.setattr(room, "CGROUPS", groups("max\n", "900\n", "inactive_file 250\n"))
    assert room.container_bytes() is None
