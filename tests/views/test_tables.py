"""The tables of a session: they fit any width, and every mark is a sign."""

from __future__ import annotations

import re

import pytest
from support.commands import Demo, without_addresses
from support.tiers import slow_but


@pytest.mark.versions
@pytest.mark.parametrize("columns", slow_but(3, [40, 80, 120, 60, 100, 170, 250]))
@pytest.mark.parametrize(
    "options",
    [("--compare",), (), ("--inplace", "--shape", "2,3,70,90"), ("--no-inplace", "--dtype", "float64")],
    ids=" ".join,
)
def test_a_screen_fits_any_width_from_40_columns(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, columns: int, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    result = demo(*options, "--seed", "7")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= columns
    assert "…" not in result.out
    for word in ("ConvolutionBackward0", "storage", "version", "hold"):
        assert word in result.out


@pytest.mark.versions
@pytest.mark.parametrize("scenario", ["", "--inplace", "--no-inplace", "--compare", "--branches"])
@pytest.mark.parametrize("options", [("--seed", "7"), ("--seed", "0", "--shape", "1,1,3,3")], ids=" ".join)
def test_at_40_columns_nothing_of_a_claim_is_lost(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, scenario: str, options: tuple[str, ...]
) -> None:
    """With the second options o1 has no negative number, and some claims cannot be shown."""
    arguments = [*filter(None, [scenario]), *options]
    monkeypatch.setenv("COLUMNS", "40")
    out = demo(*arguments, "--evidence").out
    assert "…" not in out

    def words_of(text: str) -> str:
        return re.sub(r"\s", "", without_addresses(text))

    shown = words_of(out)
    for number, claim in enumerate(demo(*arguments, "--json").document["claims"], 1):
        assert words_of(f"{number} {claim['verdict']} {claim['says']} {claim['evidence']}") in shown
        assert words_of(claim["hint"]) in shown


def test_of_one_number_the_conclusion_says_so(demo: Demo) -> None:
    results = [demo("--inplace", "--shape", "1,1,3,3", "--seed", str(seed)).out for seed in range(9)]
    assert any("In place, o1's one number became 0; h1 is o1 itself." in out for out in results)
