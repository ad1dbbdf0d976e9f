"""The tables of a session: they fit any width, and every mark is a sign."""

from __future__ import annotations

import re

import pytest
from support.commands import Demo, without_addresses


@pytest.mark.versions
@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120, 170, 250])
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
    for word in ("ConvolutionBackward0", "storage", "version", "holds"):
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
        assert words_of(claim["advice"] or "") in shown


def test_at_40_columns_the_moments_are_stacked_and_at_170_the_halves_stand_side_by_side(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def titles(columns: int) -> list[int]:
        monkeypatch.setenv("COLUMNS", str(columns))
        return [line.count("o1 after") for line in demo("--compare").out.splitlines() if "o1 after" in line]

    assert titles(40) == [1, 1]
    assert titles(80) == [1, 1]
    assert titles(170) == [2]
    monkeypatch.setenv("COLUMNS", "80")
    assert re.search(r"o1 before +o1 after +h1", demo("--compare").out)
    monkeypatch.setenv("COLUMNS", "40")
    assert not re.search(r"o1 before +o1 after", demo("--compare").out)


def test_what_changed_and_what_was_zeroed_is_marked_by_a_sign(demo: Demo) -> None:
    document = demo("--inplace", "--json", "--seed", "7").document
    zeroed = document["parts"]["in_place"]["moments"]["o1_after"]["zeroed"]
    out = demo("--inplace", "--seed", "7").out
    assert out.count("*0.0000") == 2 * zeroed  # in o1 after, and in h1, which is o1
    assert re.search(r"version 0 +\*1 +1\n", out)
    assert re.search(r"grad_fn ConvolutionBackward0 +\*ReluBackward0 +ReluBackward0\n", out)
    assert re.search(r"id +\d+ +\d+ same +\d+ is o1\n", out)
    other = demo("--no-inplace", "--seed", "7").out
    assert other.count("*0.0000") == zeroed
    assert re.search(r"id +\d+ +\d+ same +\d+ not o1\n", other)


def test_a_large_tensor_is_summarised_on_a_few_screens(demo: Demo) -> None:
    out = demo("--compare", "--shape", "2,3,300,300").out
    assert len(out.splitlines()) < 100
    for label in ("in all", "below 0", "zeros", "min", "max", "corner"):
        assert re.search(rf"^{label} ", out, re.MULTILINE)
