"""`--step --save lesson.html` and `lesson.svg`: what a reader sees and presses in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Browser, browser
from support.commands import Demo

SHOWN = "return [...document.querySelectorAll('section')].filter(each => each.checkVisibility()).map(each => each.id)"
IN_PICTURE = """
for (const each of document.getAnimations()) { each.pause(); each.currentTime = MOMENT; }
const shown = ({top, bottom}) => top >= 0 && bottom <= innerHeight;
return [...document.querySelectorAll('text')].filter(each => shown(each.getBoundingClientRect()))
    .map(each => each.textContent).join(' ').replaceAll('\\u00a0', ' ');
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def lesson(demo: Demo, tmp_path: Path) -> Path:
    assert demo("--step", "--save", str(tmp_path / "lesson.html"), "--seed", "7").code == 0
    return tmp_path / "lesson.html"


@pytest.fixture
def picture(demo: Demo, tmp_path: Path) -> Path:
    assert demo("--step", "--save", str(tmp_path / "lesson.svg"), "--seed", "7").code == 0
    return tmp_path / "lesson.svg"


def test_keys_and_buttons_go_on_and_back(page: Browser, lesson: Path) -> None:
    page.open(lesson)
    assert page.run(SHOWN) == ["step-1"]
    for key, step in (("ArrowRight", 2), ("Space", 3), ("Enter", 4), ("ArrowLeft", 3), ("n", 4), ("b", 3)):
        page.press(key)
        assert page.run(SHOWN) == [f"step-{step}"], key
    page.run("document.getElementById('on').click()")
    assert page.run(SHOWN) == ["step-4"]
    page.run("document.getElementById('back').click()")
    assert page.run(SHOWN) == ["step-3"]


def test_there_is_nothing_before_the_first_step_and_behind_the_last(page: Browser, lesson: Path) -> None:
    page.open(lesson)
    page.press("ArrowLeft")
    assert page.run(SHOWN) == ["step-1"]
    last = page.run("return document.querySelectorAll('section').length")
    for _ in range(last + 2):
        page.press("ArrowRight")
    assert page.run(SHOWN) == [f"step-{last}"]
    assert page.run("return document.getElementById('on').disabled")


def test_the_address_opens_a_step(page: Browser, lesson: Path) -> None:
    page.open(lesson, "#step-4")
    assert page.run(SHOWN) == ["step-4"]
    text = page.run("return document.getElementById('step-4').innerText")
    assert "o1 was overwritten: 16 of 27 values became 0" in text
    assert "o1 ┬▶ tensor " in text
    assert "step 4 of 9" in text


def test_nothing_is_fetched_and_no_script_fails(page: Browser, lesson: Path) -> None:
    page.errors()
    page.requested()
    page.open(lesson)
    page.press("ArrowRight")
    assert page.errors() == []
    assert page.requested() == [lesson.as_uri()]


def test_in_print_all_steps_stand_below_each_other(page: Browser, lesson: Path) -> None:
    page.open(lesson)
    page.prefer("print")
    assert page.run(SHOWN) == [f"step-{at}" for at in range(1, 10)]
    page.prefer()


def test_it_is_light_or_dark_as_the_system_says(page: Browser, lesson: Path) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        page.prefer(prefers_color_scheme=scheme)
        page.open(lesson)
        grounds[scheme] = page.run("return getComputedStyle(document.body).backgroundColor")
    page.prefer()
    assert grounds == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 29)"}


def test_each_colour_has_its_rule_on_both_grounds(lesson: Path) -> None:
    text = lesson.read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"^\.(r\d+) \{(.*)\}", sheet, re.MULTILINE))
        for sheet in text.partition("</style>")[0].split("@media (prefers-color-scheme: dark)")
    )
    assert set(light) == set(dark) == set(re.findall(r'class="(r\d+)"', text))
    for kind in ("bold", "italic", "background-color"):
        assert [kind in rule for rule in light.values()] == [kind in rule for rule in dark.values()]


def test_a_screen_reader_hears_the_title_of_each_step(page: Browser, lesson: Path) -> None:
    page.open(lesson, "#step-4")
    assert page.run("return document.querySelector('main').ariaLive") == "polite"
    labelled = "document.getElementById(document.getElementById('step-4').getAttribute('aria-labelledby'))"
    assert page.run(f"return {labelled}.innerText").startswith("In place")


def test_the_picture_shows_one_step_after_the_other_and_begins_anew(page: Browser, picture: Path) -> None:
    page.open(picture)
    for moment, step in ((100, 1), (9_100, 4), (24_100, 9), (27_100, 1)):
        text = page.run(IN_PICTURE.replace("MOMENT", str(moment)))
        assert re.findall(r"step \d of 9", text) == [f"step {step} of 9"]


def test_no_blank_of_the_picture_is_folded(picture: Path) -> None:
    """A browser folds blanks and stretches what is left: `xml:space` is no help in Chromium."""
    texts = re.findall(r"<text[^>]*>([^<]*)", picture.read_text(encoding="utf-8"))
    assert any("\u00a0\u00a0" in text for text in texts)
    assert not any("  " in text or text != text.strip(" ") for text in texts)


def test_where_no_motion_is_wanted_the_picture_shows_what_was_overwritten(page: Browser, picture: Path) -> None:
    page.prefer(prefers_reduced_motion="reduce")
    page.open(picture)
    text = page.run(IN_PICTURE.replace("MOMENT", "0"))
    assert "16 of 27 values became 0" in text
    page.prefer()


def test_the_picture_fetches_nothing(page: Browser, picture: Path) -> None:
    page.requested()
    page.open(picture)
    assert page.requested() == [picture.as_uri()]
    assert "<script" not in picture.read_text()


def test_a_lesson_is_a_page_or_a_picture(demo: Demo, tmp_path: Path) -> None:
    result = demo("--step", "--save", str(tmp_path / "lesson.txt"))
    assert (result.code, result.out) == (2, "")
    assert "give a file that ends in .html or .svg" in result.err
