"""How many lines `--branches` and `--memory` take, at widths on both sides of those at which a layout changes."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from support.commands import Demo
from support.tiers import slow_but

WIDTHS = (60, 79, 80, 99, 100, 120)
LIMITS = {"--branches": 83, "--memory": 40}
CASES = [(scenario, language) for language in ("en", "zh") for scenario in LIMITS]
STACKED = {"--branches": 102, "--memory": 60}
"""Below 79 columns sentences and errors take more lines, and cures stand below each other."""


SHOWN: dict[tuple[str, str], dict[int, list[str]]] = {}
"""The screens that were measured, each once."""


@pytest.fixture
def lines(demo: Demo, monkeypatch: pytest.MonkeyPatch, scenario: str, language: str) -> dict[int, list[str]]:
    """The lines of a screen at each width."""
    if (scenario, language) in SHOWN:
        return SHOWN[scenario, language]
    found = SHOWN[scenario, language] = {}
    for columns in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(columns))
        result = demo(scenario, "--seed", "7", "--lang", language)
        assert (result.code, result.err) == (0, "")
        found[columns] = result.out.splitlines()
    return found


@pytest.mark.parametrize(("scenario", "language"), slow_but(1, CASES))
def test_the_screen_is_short_and_fits_at_every_width(lines: dict[int, list[str]], scenario: str, language: str) -> None:
    for columns, screen in lines.items():
        assert len(screen) <= (LIMITS if columns >= 79 else STACKED)[scenario], columns
        assert max(map(cell_len, screen)) <= columns


@pytest.mark.parametrize(("scenario", "language"), slow_but(1, CASES))
def test_a_column_less_costs_hardly_a_line(lines: dict[int, list[str]], scenario: str, language: str) -> None:
    for narrow, wide in ((79, 80), (99, 100)):
        assert len(lines[narrow]) - len(lines[wide]) in (0, 1, 2)
