"""The colours of a saved picture, dark or with --light on white: legible in colour and in grey."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from support.colours import contrast, luminance
from support.commands import Demo, Result

SPACE = "{http://www.w3.org/2000/svg}"
WHITE = "#ffffff"


@dataclass(frozen=True)
class Word:
    """Characters of a picture with one style: their colour, and the colour behind them."""

    text: str
    ink: str
    ground: str


def save(demo: Demo, path: Path, *arguments: str) -> str:
    """Saves a screen and gives what is in the file."""
    assert demo(*arguments, "--save", str(path)) == Result(0, "", "")
    return path.read_text(encoding="utf-8")


def svg_words(text: str) -> list[Word]:
    colours = dict(re.findall(r"\.([\w-]+) \{ fill: (#\w+)", text))
    root = ElementTree.fromstring(text)
    behind = {
        (round(float(rect.attrib["x"])), round(float(rect.attrib["y"]) + 18.5)): rect.attrib["fill"]
        for rect in root.iter(f"{SPACE}rect")
        if "shape-rendering" in rect.attrib
    }
    (ground,) = [rect.attrib["fill"] for rect in root.iter(f"{SPACE}rect") if rect.attrib.get("width") == "100%"]
    return [
        Word(
            word.text,
            colours[word.attrib["class"]],
            behind.get((round(float(word.attrib["x"])), round(float(word.attrib["y"]))), ground),
        )
        for word in root.iter(f"{SPACE}text")
        if word.text and word.text.strip("\n\xa0 ")
    ]


def html_words(text: str) -> list[Word]:
    styles = dict(re.findall(r"^\.(\w+) \{(.*)\}$", text, re.MULTILINE))
    body = re.search(r"body \{.*? color: (#\w+); background-color: (#\w+);", text)
    assert body

    def colour(name: str, of: str, without: str) -> str:
        found = re.search(rf"(?:^|; ?){name}: (#\w+)", styles.get(of, ""))
        return found[1] if found else without

    inside = text.partition("<pre>")[2]
    return [
        Word(words, colour("color", of, body[1]), colour("background-color", of, body[2]))
        for of, words in re.findall(r'<span class="(\w+)">([^<]*)</span>', inside)
        if words.strip()
    ]


WORDS = {".svg": svg_words, ".html": html_words}


@pytest.mark.versions
@pytest.mark.parametrize(
    "options",
    [
        *(("--compare", "--light"), ("--branches", "--light"), ("--memory", "--shape", "1,4,8,8", "--light")),
        *(("--light",), ("--compare",)),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("ending", WORDS)
def test_every_word_stands_out(demo: Demo, tmp_path: Path, ending: str, options: tuple[str, ...]) -> None:
    words = WORDS[ending](save(demo, tmp_path / f"x{ending}", *options))
    assert len(words) > 20
    for word in words:
        if "--light" in options or ending == ".svg":  # in a dark page rich fades dim words by half
            assert contrast(word.ink, word.ground) >= 4.5, word
    grounds = {word.ground for word in words}
    assert (WHITE in grounds) == ("--light" in options)


@pytest.mark.parametrize("ending", WORDS)
def test_in_grey_zeroed_negative_and_positive_numbers_are_told_apart(demo: Demo, tmp_path: Path, ending: str) -> None:
    words = WORDS[ending](save(demo, tmp_path / f"x{ending}", "--inplace", "--seed", "7", "--light"))
    grounds: dict[str, set[str]] = {"zeroed": set(), "negative": set(), "positive": set()}
    for word in words:
        if word.ground != WHITE and re.fullmatch(r"[*-]?\d\.\d{4}", number := word.text.strip("\xa0 ")):
            grounds[{"*": "zeroed", "-": "negative"}.get(number[0], "positive")].add(word.ground)
    assert len(grounds["zeroed"]) == 1
    assert len(grounds["negative"]) >= 2
    assert len(grounds["positive"]) >= 2
    in_grey = [sorted(luminance(ground) for ground in kind) for kind in grounds.values()]
    darkest_first = [grey for kind in in_grey for grey in kind] + [luminance(WHITE)]
    assert darkest_first == sorted(darkest_first)
    for darker, lighter in pairwise(darkest_first):
        assert (lighter + 0.05) / (darker + 0.05) >= 1.1, darkest_first


@pytest.mark.parametrize("light", [["--light"], []])
@pytest.mark.parametrize("ending", WORDS)
def test_no_color_is_respected(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, light: list[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    words = WORDS[ending](save(demo, tmp_path / f"x{ending}", "--inplace", "--seed", "7", *light))
    for colour in {colour for word in words for colour in (word.ink, word.ground)}:
        red, green, blue = bytes.fromhex(colour[1:])
        assert max(red, green, blue) - min(red, green, blue) <= 8
    for word in words:
        assert contrast(word.ink, word.ground) >= 4.5, word


def sides(picture: str) -> tuple[float, float]:
    """The width and the height of a picture."""
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture)[0]
    return float(width), float(height)


def test_the_short_screen_is_a_slide_in_landscape(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    width, height = sides(save(demo, tmp_path / "x.svg", "--light"))
    assert 1.4 <= width / height <= 2.1
