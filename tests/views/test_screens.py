"""The screens as a whole: each of `screens.txt` stands there as it was read and approved.

Where a change is meant, RELU_DEMO_APPROVE=1 has this test write the file anew; read its diff before you commit it.
"""

from __future__ import annotations

import html
import os
import re
import shlex
from pathlib import Path

import pytest
from support.commands import Demo, without_addresses
from support.processes import ROOT
from support.tiers import pinned

FILE = Path(__file__).with_name("screens.txt")
APPROVED = dict(re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", FILE.read_text(encoding="utf-8"), re.MULTILINE))
"""What each command shows. The number in front is the terminal's columns; a saved lesson is its text."""
NUMBER = r"-?\d+\.\d+"


@pinned
@pytest.mark.parametrize("command", APPROVED)
def test_a_screen_is_the_one_that_was_approved(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    columns, _, *arguments = shlex.split(command)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.chdir(ROOT)
    path = tmp_path / "lesson.html"
    result = demo(*(str(path) if word == path.name else word for word in arguments))
    assert result.err == ""
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    text = html.unescape(re.sub("<[^>]+>", "", page.partition("</style>")[2].partition("<script>")[0]))
    shown = re.sub("(?<=ADDRESS) +", "  ", without_addresses(result.out + text))
    shown = re.sub(r"PyTorch 2\.13[^\s)]+", "PyTorch", re.sub(r"\s*\n\s*\n", "\n\n", shown).strip("\n")) + "\n"
    if "RELU_DEMO_APPROVE" in os.environ:
        blocks = {**APPROVED, command: shown}
        APPROVED[command] = shown
        FILE.write_text("".join(f"$ {line}\n{screen}" for line, screen in blocks.items()), encoding="utf-8")
    assert shown == APPROVED[command] or rounds_to(shown, APPROVED[command])


def rounds_to(shown: str, approved: str) -> bool:
    """Whether two screens differ in last digits alone: another processor adds up in another order."""
    numbers = [[float(number) for number in re.findall(NUMBER, text)] for text in (shown, approved)]
    return re.split(NUMBER, shown) == re.split(NUMBER, approved) and numbers[0] == pytest.approx(
        numbers[1], rel=1e-3, abs=2e-4
    )
