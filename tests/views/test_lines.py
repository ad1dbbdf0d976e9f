"""How many lines the screens of a session take: the limits, and no cliff between neighbouring widths."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from support.commands import Demo
from support.ptys import on_a_terminal, posix
from support.tiers import slow_but

from relu_demo.request import WHOLE
from relu_demo.session.article import IN_PLACE, OUT_OF_PLACE, preparation
from relu_demo.session.lines import ANSWER, Session
from relu_demo.session.sessions import SESSIONS

LIMITS = {"": 23, "--compare": 48, "--inplace": 40, "--no-inplace": 40, "--branches": 83, "--memory": 40}
"""The most lines of each screen at 79 columns and more: with the prompt, the first is a terminal of 24 lines."""

NARROW_LIMITS = {"": 48, "--compare": 90, "--inplace": 55, "--no-inplace": 75, "--branches": 102, "--memory": 60}
"""The most lines at 60 columns, where what stands beside each other above is stacked in part."""

WIDTHS = (60, 79, 80, 99, 100, 120)


def lines_at(demo: Demo, monkeypatch: pytest.MonkeyPatch, columns: int, *options: str) -> list[str]:
    """The lines of a screen, each no wider than the terminal."""
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = demo(*options).out.splitlines()
    assert max(map(cell_len, lines)) <= columns
    return lines


CASES = [
    *((scenario, f"--lang {language}") for scenario in LIMITS for language in ("en", "zh")),
    *((scenario, "--shape 2,3,300,300") for scenario in LIMITS if scenario != "--memory"),
]


@pytest.mark.versions
@pytest.mark.parametrize(("scenario", "options"), slow_but(8, CASES))
def test_a_screen_keeps_to_its_limit(demo: Demo, monkeypatch: pytest.MonkeyPatch, scenario: str, options: str) -> None:
    arguments = [*filter(None, [scenario]), "--seed", "7", *options.split()]
    counts = {columns: len(lines_at(demo, monkeypatch, columns, *arguments)) for columns in WIDTHS}
    assert counts.pop(60) <= NARROW_LIMITS[scenario]
    assert max(counts.values()) <= LIMITS[scenario], counts


@pytest.mark.parametrize("scenario", slow_but(5, LIMITS))
@pytest.mark.parametrize("columns", [79, 99])
def test_there_is_no_cliff(demo: Demo, monkeypatch: pytest.MonkeyPatch, scenario: str, columns: int) -> None:
    arguments = [*filter(None, [scenario]), "--seed", "7"]
    one, other = (len(lines_at(demo, monkeypatch, width, *arguments)) for width in (columns, columns + 1))
    assert abs(one - other) <= 2


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


def test_the_line_that_asks_it_again_begins_as_the_command_was_started(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELU_DEMO_STARTED_AS", "python 'my clone/scripts/run.py'")
    lines = demo("--inplace", "--seed", "7").out.splitlines()
    assert lines[1].startswith("python 'my clone/scripts/run.py' --inplace --seed 7  (relu-demo ")
