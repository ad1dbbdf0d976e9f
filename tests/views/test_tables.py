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


def test_at_80_columns_both_halves_are_one_table_and_at_40_they_are_stacked(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in ("79", "80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        assert re.search(r"o1 before +o1 after, in place +o1 after, not in place", demo("--compare").out)
    monkeypatch.setenv("COLUMNS", "40")
    assert not re.search(r"o1 before +o1 after", demo("--compare").out)


def test_h1_is_in_the_picture_of_each_half_and_has_a_column_where_that_fits(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is another object: its id, storage and grad_fn are said, and its numbers are seen or counted."""
    h1 = demo("--compare", "--json", "--seed", "7").document["parts"]["out_of_place"]["moments"]["h1"]
    for scenario in ((), ("--compare",)):
        monkeypatch.setenv("COLUMNS", "105")
        wide = demo(*scenario, "--seed", "7").out
        assert re.search(r"o1 after, not in place +h1, not in place$", wide, re.MULTILINE)
        assert re.search(r"^id .* \d+ not o1$", wide, re.MULTILINE)
        assert re.search(rf"^grad_fn .* {h1['grad_fn']['name']}$", wide, re.MULTILINE)
        assert wide.count("*0.0000") == 2 * h1["zeroed"]
        monkeypatch.setenv("COLUMNS", "80")
        narrow = demo(*scenario, "--seed", "7").out
        said = f"{h1['grad_fn']['name']}, {h1['summary']['zeros']} zeros"
        for out in (wide, narrow):
            ending = "\n".join(out.splitlines()[-6:])
            one = rf"^o1 ┬▶ tensor \d+ ─▶ storage 0x\w+  \*version 1, {h1['zeroed']} zeroed\nh1 ┘\nIn place, "
            two = rf"^o1 ─▶ tensor \d+ ─▶ storage 0x\w+  version 0\nh1 ─▶ tensor \d+ ─▶ storage 0x\w+  {said}\nNot "
            assert re.search(one, ending)
            assert re.search(two, ending, re.MULTILINE)


def test_in_a_narrow_terminal_the_picture_shows_the_ends_of_ids(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {
        "60": r"^o1 ┬▶ tensor \.\.\d{4} ─▶ storage \.\.\w{4}  \*version 1, 16 zeroed\nh1 ┘$",
        "40": r"^o1 ┬▶ tensor \.\.\d{4} ─▶ storage \.\.\w{4}\nh1 ┘\n   \*version 1, 16 zeroed$",
    }
    for columns, picture in drawn.items():
        monkeypatch.setenv("COLUMNS", columns)
        assert re.search(picture, demo("--inplace", "--seed", "7").out, re.MULTILINE)


def test_of_one_number_the_conclusion_says_so(demo: Demo) -> None:
    results = [demo("--inplace", "--shape", "1,1,3,3", "--seed", str(seed)).out for seed in range(9)]
    assert any("In place, o1's one number became 0; h1 is o1 itself." in out for out in results)


def test_what_changed_and_what_was_zeroed_is_marked_by_a_sign(demo: Demo) -> None:
    document = demo("--inplace", "--json", "--seed", "7").document
    zeroed = document["parts"]["in_place"]["moments"]["o1_after"]["zeroed"]
    out = demo("--inplace", "--seed", "7").out
    assert out.count("*0.0000") == zeroed
    assert re.search(r"^version 0 +\*1$", out, re.MULTILINE)
    assert re.search(r"^grad_fn ConvolutionBackward0 +\*ReluBackward0$", out, re.MULTILINE)
    assert re.search(r"^id +\d+ +same$", out, re.MULTILINE)
    assert re.search(r"^o1 ┬▶ tensor .*\nh1 ┘$", out, re.MULTILINE)
    other = demo("--no-inplace", "--seed", "7").out
    assert other.count("*0.0000") == zeroed
    assert re.search(r"^id +\d+ +same +\d+ ", other, re.MULTILINE)


def test_a_large_tensor_is_summarised_on_a_few_screens(demo: Demo) -> None:
    out = demo("--compare", "--shape", "2,3,300,300").out
    assert len(out.splitlines()) < 100
    for label in ("zeros", "min", "corner"):
        assert re.search(rf"^{label} ", out, re.MULTILINE)
    assert re.search(r"^values +[\d,]+ negative ", out, re.MULTILINE)
