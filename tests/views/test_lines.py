"""How many lines the screens of a session take: the limits, and no cliff between neighbouring widths."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from support.commands import Demo
from support.ptys import on_a_terminal, posix

from relu_demo.request import WHOLE
from relu_demo.session.article import IN_PLACE, OUT_OF_PLACE, preparation
from relu_demo.session.lines import ANSWER, Session
from relu_demo.session.sessions import SESSIONS

LIMITS = {"": 23, "--compare": 48, "--inplace": 40, "--no-inplace": 40}
"""The most lines of each screen at 79 columns and more: with the prompt, the first is a terminal of 24 lines."""

NARROW_LIMITS = {"": 48, "--compare": 90, "--inplace": 55, "--no-inplace": 75}
"""The most lines at 60 columns, where what stands beside each other above is stacked in part."""

WIDTHS = (60, 79, 80, 99, 100, 120)

LEGEND = {"": ("version:",)}
"""What the first screen explains; the others explain all of EXPLAINED."""

EXPLAINED = ("storage:", "version:", "grad_fn:")


def lines_at(demo: Demo, monkeypatch: pytest.MonkeyPatch, columns: int, *options: str) -> list[str]:
    """The lines of a screen, each no wider than the terminal."""
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = demo(*options).out.splitlines()
    assert max(map(cell_len, lines)) <= columns
    return lines


@pytest.mark.versions
@pytest.mark.parametrize("scenario", LIMITS)
@pytest.mark.parametrize(
    "options",
    [
        ("--seed", "7"),
        ("--seed", "7", "--lang", "zh"),
        pytest.param(("--seed", "7", "--shape", "2,3,300,300"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_a_screen_keeps_to_its_limit(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, scenario: str, options: tuple[str, ...]
) -> None:
    arguments = [*filter(None, [scenario]), *options]
    counts = {columns: len(lines_at(demo, monkeypatch, columns, *arguments)) for columns in WIDTHS}
    assert counts.pop(60) <= NARROW_LIMITS[scenario]
    assert max(counts.values()) <= LIMITS[scenario], counts


@pytest.mark.parametrize("scenario", LIMITS)
@pytest.mark.parametrize("columns", [79, 99])
def test_there_is_no_cliff(demo: Demo, monkeypatch: pytest.MonkeyPatch, scenario: str, columns: int) -> None:
    arguments = [*filter(None, [scenario]), "--seed", "7"]
    one, other = (len(lines_at(demo, monkeypatch, width, *arguments)) for width in (columns, columns + 1))
    assert abs(one - other) <= 2


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize("scenario", LIMITS)
def test_no_id_or_address_is_shown_twice(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, scenario: str, columns: int
) -> None:
    """But in the picture, whose arrows lead to those of the table."""
    lines = lines_at(demo, monkeypatch, columns, *filter(None, [scenario]), "--seed", "7")
    out = "\n".join(line for line in lines if "▶" not in line)
    found = re.findall(r"(?<![\w.])(?:0x[0-9a-f]+|\d{7,})(?!\w|\.\d)", out)
    assert found
    assert len(found) == len(set(found))


@pytest.mark.parametrize("scenario", LIMITS)
def test_the_conclusion_is_last_and_signs_are_explained(demo: Demo, scenario: str) -> None:
    out = demo(*filter(None, [scenario]), "--seed", "7").out
    ending = " ".join(out.splitlines()[-2:])
    claims = {"": 7, "--compare": 7}.get(scenario, 3)
    assert ending.endswith(f"All {claims} claims hold.")
    assert "o1 is unchanged; h1 is a new tensor." in ending or scenario == "--inplace"
    assert scenario == "--no-inplace" or "16 of o1's 27 numbers became 0; h1 is o1 itself." in out.replace("\n", " ")
    for meaning in LEGEND.get(scenario, EXPLAINED):
        assert out.count(meaning) == 1


def test_lines_that_only_look_are_not_shown(demo: Demo) -> None:
    for scenario in LIMITS:
        out = demo(*filter(None, [scenario]), "--seed", "7").out
        assert not re.search(r">>> (o1|h1|id\(\w+\))\s*(#|>>>|$)", out, re.MULTILINE)


def test_the_short_screen_fits_24_lines_in_colour_too(demo: Demo, tmp_path: Path) -> None:
    file = tmp_path / "screen.html"
    assert demo("--seed", "7", "--save", str(file)).code == 0
    lines = file.read_text(encoding="utf-8").partition("<code>")[2].partition("</code>")[0].rstrip().splitlines()
    assert len(lines) <= LIMITS[""]


@posix
@pytest.mark.versions
@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("scenario", ["--compare", "--inplace"])
def test_a_short_terminal_shows_the_table_and_the_conclusion_last(scenario: str, columns: int) -> None:
    code, shown, _ = on_a_terminal(scenario, "--seed", "7", columns=columns, NO_COLOR="1", LINES="24")
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()]
    ran = next(number for number, line in enumerate(lines) if ">>> conv1 = " in line)
    table = next(number for number, line in enumerate(lines) if line.strip().startswith("o1 before"))
    assert code == 0
    assert ran < table
    assert len(lines[table:]) <= 23
    assert "claims hold." in " ".join(lines[-2:])
    assert not any("  holds  " in line for line in lines)


def test_a_claim_that_fails_has_the_number_that_the_last_line_names(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = replace(
        OUT_OF_PLACE,
        lines=tuple(replace(line, source=line.source.replace("rl2", "rl1")) for line in OUT_OF_PLACE.lines),
    )
    monkeypatch.setitem(
        SESSIONS, WHOLE, lambda request: Session(request, "", (preparation(request), IN_PLACE, half), ANSWER)
    )
    result = demo("--seed", "7")
    assert result.code == 1
    assert re.findall(r"^(\d)  does not hold", result.out, re.MULTILINE) == ["4", "5"]
    assert "5 of 7 claims hold; claims 4 and 5 do not hold." in " ".join(result.out.split())


def test_the_short_screen_tells_which_commands_show_more(demo: Demo) -> None:
    out = demo("--seed", "7").out
    for option in ("--compare", "--branches", "--help"):
        assert option in out


def test_evidence_is_shown_when_asked_for(demo: Demo) -> None:
    claims = demo("--compare", "--seed", "7", "--json").document["claims"]
    short, full = demo("--compare", "--seed", "7").out, demo("--compare", "--seed", "7", "--evidence").out
    for claim in claims:
        figures = claim["evidence"].split(";")[-1].split(",")[0].strip()
        if "0x" not in figures:
            assert figures in " ".join(full.split())
    assert len(full.splitlines()) > len(short.splitlines()) + len(claims)


def test_the_line_that_asks_it_again_begins_as_the_command_was_started(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELU_DEMO_STARTED_AS", "python 'my clone/scripts/run.py'")
    lines = demo("--inplace", "--seed", "7").out.splitlines()
    assert lines[1].startswith("python 'my clone/scripts/run.py' --inplace --seed 7  (relu-demo ")
