"""The demonstrator in Chinese: nothing is left in English but what programs read, and the catalogue is whole."""

from __future__ import annotations

import ast
import gettext
import html
import io
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import torch
from rich.console import Console
from support.bad_input import BAD
from support.commands import Demo, held, without_addresses
from support.processes import ROOT
from support.ptys import on_a_terminal, posix
from support.tiers import slow_but

import relu_demo
from relu_demo.errors import BadInput
from relu_demo.language import cells, speaking
from relu_demo.request import Replay
from relu_demo.scenarios import stepped
from relu_demo.session.article import IN_PLACE, OUT_OF_PLACE, preparation
from relu_demo.session.branches import LOUD_FAULT, RIGHT, SILENT_FAULT
from relu_demo.session.faults import PAGES
from relu_demo.session.lines import DIFFERENCES, MOMENTS, Part, Session
from relu_demo.session.sessions import SESSIONS
from relu_demo.views.step import StepScreen

CATALOGUE = ROOT / "relu_demo" / "locale" / "zh" / "LC_MESSAGES" / "relu_demo.po"
VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")

ENGLISH = re.compile(r"(?<![-\w.(])[A-Za-z][a-z']+(?: [a-z][a-z']*)+(?![-\w(.=])")
"""Two words of English, or more, in a row: a name or an option stands alone."""

CODE = re.compile(
    r">>> .*|^\.\.\. .*|(?:下一步|然后|正在执行)：.*|(?:x|h1) = \w+\(\w+\)|relu-demo(?:: | explain [\w-]+)",
    re.MULTILINE,
)
"""The session's code, which is nobody's language."""

QUOTED = (
    *("import torch", "as nn", "<torch._C.Generator object at 0x", "modified by an inplace operation"),
    *("python -m doctest", "No such file or directory"),
)
"""What stays English on a Chinese screen, beside PyTorch's messages: words of Python, of PyTorch and of the system."""

SCREENS = [
    *([], ["--compare"], ["--branches", "--evidence"], ["--memory"], ["--help"]),
    *(["--inplace"], ["--no-inplace"], ["--compare", "--evidence"], ["--article"]),
    *(["--compare", "--shape", "2,3,70,90"], ["--memory", "--shape", "1,2,8,8", "--depth", "1"]),
    ["--compare", "--evidence", "--shape", "1,1,3,3", "--seed", "0"],
    *(["--branches", "--part", part.key] for part in (RIGHT, SILENT_FAULT, LOUD_FAULT)),
    ["--branches", "--evidence", "--shape", "1,1,3,3", "--seed", "0"],
    *(["explain"], ["explain", "--help"], ["explain", "data", "--evidence"]),
]

NAMES = [page.name for page in PAGES if page.name != "vmap" or hasattr(torch, "vmap")]

LINES = [["--seed", "7", "-q"], ["--memory", "-q"], ["--shape", "1,1,3,3", "--seed", "0", "-q"], ["--branches", "-q"]]

ENGLISH_EVERYWHERE = re.compile("check|watch|.*(--json|--repl|cuda)", re.DOTALL)
USAGE_ERRORS = [line for line in BAD if not ENGLISH_EVERYWHERE.match(line)]
"""All but those of which programs read the answer, or in which PyTorch's own words are."""


def english(shown: str, *messages: str) -> list[str]:
    """The English on a screen, but for what is quoted."""
    quoted = (*QUOTED, *messages)
    return [words for words in ENGLISH.findall(CODE.sub("", shown)) if not any(words in each for each in quoted)]


@pytest.fixture(scope="module")
def messages() -> tuple[str, ...]:
    """What PyTorch says in the session of the branches."""
    report = relu_demo.show("branches", seed=7)
    return tuple(step.error for step in report.trace.lines if step.error)  # type: ignore[union-attr]


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader whose environment says Chinese."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")


def test_the_catalogue_is_compiled() -> None:
    compiled = CATALOGUE.with_suffix(".mo")
    current = compiled.exists() and compiled.stat().st_mtime >= CATALOGUE.stat().st_mtime
    assert current, "the catalogue is newer than what is compiled of it; run scripts/run.py"


def translations() -> dict[Any, str]:
    """The catalogue's texts by their keys; those with a plural by (key, 0)."""
    with open(CATALOGUE.with_suffix(".mo"), "rb") as file:
        known: dict[Any, str] = vars(gettext.GNUTranslations(file))["_catalog"]
    return {key: text for key, text in known.items() if key}


def marked() -> Iterator[tuple[str, ...]]:
    """The texts in the source that are translated, with a plural both forms, and the comments in the pages' code."""
    for path in (ROOT / "relu_demo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(ast.Name("plural"), [ast.Constant(str(one)), ast.Constant(str(many)), *_]):
                    yield one, many
                case ast.Call(ast.Name("_" | "mark"), [ast.Constant(str(text)), *_]):
                    yield (text,)
    for page in PAGES:
        for comment in re.findall("  # (.+)", page.prepared + page.fault + page.cure):
            yield (comment,)


def test_every_text_is_in_the_catalogue_and_each_of_the_catalogue_is_used() -> None:
    texts = {(key if isinstance(key, str) else key[0]) for key in translations()}
    assert texts == {keys[0] for keys in marked()}
    assert {key[0] for key in translations() if isinstance(key, tuple)} == {keys[0] for keys in marked() if keys[1:]}


def test_a_translation_has_the_fields_of_its_key() -> None:
    def fields(text: str) -> set[tuple[str | None, ...]]:
        return {parts[1:] for parts in Formatter().parse(text) if parts[1] is not None}

    many = {keys[0]: keys[1] for keys in marked() if keys[1:]}
    for key, text in translations().items():
        english_text = key if isinstance(key, str) else many[key[0]]
        assert fields(text) == fields(english_text), key


@pytest.mark.versions
@pytest.mark.parametrize("columns", [70, 80, 120])
@pytest.mark.parametrize("options", slow_but(5, SCREENS), ids=" ".join)
def test_no_english_is_left_on_a_screen_and_it_fits(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, messages: tuple[str, ...], options: list[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    seed = [] if {"--seed", "--help", "--memory", "explain"} & {*options} else ["--seed", "7"]
    result = demo(*options, "--lang", "zh", *seed)
    assert (result.code, result.err) == (0, "")
    assert english(result.out, *messages) == []
    assert max(map(cells, result.out.splitlines())) <= columns


@pytest.mark.parametrize("page", slow_but(3, NAMES))
def test_no_english_is_left_on_a_page_and_it_fits(demo: Demo, page: str) -> None:
    document = json.loads(demo("explain", page, "--seed", "7", "--json").out)
    steps = [step for part in document["parts"].values() for step in part["lines"]]
    said = [step[key] for step in steps for key in ("output", "source")]
    result = demo("explain", page, "--lang", "zh", "--seed", "7", "--evidence")
    assert (result.code, result.err) == (0, "")
    assert english(result.out, *said) == []
    assert max(map(cells, result.out.splitlines())) <= 80


@pytest.mark.parametrize("options", LINES, ids=" ".join)
def test_one_line_is_chinese(demo: Demo, options: list[str]) -> None:
    result = demo("--lang", "zh", *options)
    assert "成立" in result.out
    assert english(result.out) == []


@pytest.mark.parametrize("columns", slow_but(1, [40, 80]))
@pytest.mark.parametrize("scenario", ["session", "branches"])
def test_no_english_is_left_in_any_step_and_it_fits(
    monkeypatch: pytest.MonkeyPatch, messages: tuple[str, ...], scenario: str, columns: int
) -> None:
    *_, report = stepped(Replay(scenario, 7))
    with speaking("zh"):
        for at in range(len(StepScreen(report).steps) + 1):
            for running in (False, True):
                console = Console(file=io.StringIO(), width=columns, height=24, highlight=False)
                console.print(StepScreen(report, at, running and at < len(StepScreen(report).steps)), height=24)
                shown = console.file.getvalue()  # type: ignore[attr-defined]
                assert english(shown, *messages) == [], at
                assert max(map(cells, shown.splitlines())) <= columns


@pytest.mark.parametrize("ending", [".html", ".svg"])
@pytest.mark.parametrize("scenario", slow_but(1, [[], ["--branches"]]), ids=str)
def test_no_english_is_left_in_the_lesson(
    demo: Demo, tmp_path: Path, messages: tuple[str, ...], scenario: list[str], ending: str
) -> None:
    file = tmp_path / f"lesson{ending}"
    assert demo("--lang", "zh", *scenario, "--seed", "7", "--step", "--save", str(file)).code == 0
    text = file.read_text(encoding="utf-8")
    if ending == ".html":
        assert '<html lang="zh-CN">' in text
        assert re.search('<button id="back">上一步</button>\n<button id="on">下一步</button>', text)
    text = re.sub(r"(?s)<(style|script)\b.*?</\1>|<!DOCTYPE html>", "", text)
    said = html.unescape(re.sub(r"<[^>]*>", "" if ending == ".html" else "\n", text))
    assert english(said, *messages) == []


@pytest.mark.versions
@pytest.mark.parametrize("line", USAGE_ERRORS, ids=lambda words: words[:40])
def test_a_usage_error_is_chinese(demo: Demo, chinese: None, line: str) -> None:
    result = demo(*shlex.split(line))
    held(result.code, result.out, result.err)
    assert re.search("[\u4e00-\u9fff]", result.err)
    assert english(result.err) == []


def with_line(part: Part, old: str, new: str) -> Part:
    return replace(part, lines=tuple(replace(line, source=line.source.replace(old, new)) for line in part.lines))


@pytest.mark.parametrize(
    ("parts", "layout"),
    [
        ((with_line(IN_PLACE, "rl1(o1)", "rl2(o1)"), with_line(OUT_OF_PLACE, "rl2", "rl1")), MOMENTS),
        ((with_line(IN_PLACE, "rl1(o1)", "o1.mul_(0)"), with_line(OUT_OF_PLACE, "rl2(o1)", "o1.abs()")), MOMENTS),
        ((with_line(IN_PLACE, "rl1(o1)", "rl1(o1)[:]"), with_line(OUT_OF_PLACE, "rl2(o1)", "o1.view_as(o1)")), MOMENTS),
        ((RIGHT, with_line(SILENT_FAULT, "rl1", "rl2"), with_line(LOUD_FAULT, "rl1", "rl2")), DIFFERENCES),
    ],
)
def test_a_claim_that_fails_does_so_in_chinese(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, parts: tuple[Part, ...], layout: str
) -> None:
    made = SESSIONS["branches"](Replay("branches", 7)).parts[0] if layout == DIFFERENCES else None
    monkeypatch.setitem(
        SESSIONS, "compare", lambda request: Session(request, "", (made or preparation(request), *parts), layout)
    )
    result = demo("--lang", "zh", "--compare", "--seed", "7")
    assert result.code == 1
    assert "  不成立  " in result.out
    assert english(result.out) == []


@pytest.mark.parametrize(
    ("environment", "options", "speaks_chinese"),
    [
        ({}, [], False),
        ({"LANG": "zh_CN.UTF-8"}, [], True),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN"}, [], True),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, [], False),
        ({"LC_ALL": "zh_CN.UTF-8", "LC_MESSAGES": "C"}, [], True),
        ({"LC_ALL": "C", "LANGUAGE": "fr:zh"}, [], True),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en"}, [], False),
        ({"LANG": "zh_CN.UTF-8"}, ["--lang", "en"], False),
        ({"LANG": "de_DE.UTF-8"}, ["--lang=zh"], True),
        ({"LANG": "de_DE.UTF-8"}, [], False),
    ],
)
def test_the_option_comes_before_the_environment(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], options: list[str], speaks_chinese: bool
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said = "7 条论断全部成立" if speaks_chinese else "all 7 claims hold"
    assert demo("-q", "--seed", "7", *options).out == f"relu-demo --seed 7: {said}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--json", "--compare", "--seed", "7"], ["--repl", "--seed", "7"], ["--schema"], ["--memory", "--json"]),
        *(["--json", "--shape", "1,3"], ["--repl", "--help"], ["--json", "--seed"], ["--json", "--lang", "zh", "-V"]),
        *(
            ["check", "--help"],
            ["watch", "--help"],
            ["check"],
            ["watch"],
            ["check", "--shape", "x"],
            ["watch", "no.py"],
        ),
    ],
    ids=" ".join,
)
def test_what_programs_read_is_english_everywhere(demo: Demo, chinese: None, arguments: list[str]) -> None:
    here = demo(*arguments)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LANGUAGE", "en")
        there = demo(*arguments)
    assert (here.code, here.err) == (there.code, there.err)
    assert without_addresses(here.out) == without_addresses(there.out)


def test_a_saved_document_is_english(demo: Demo, chinese: None, tmp_path: Path) -> None:
    assert demo("--compare", "--seed", "7", "--save", str(tmp_path / "x.json")).code == 0
    assert (tmp_path / "x.json").read_text(encoding="utf-8").isascii()


@pytest.mark.versions
def test_a_picture_gives_each_text_the_width_of_its_cells(demo: Demo, tmp_path: Path) -> None:
    assert demo("--lang", "zh", "--compare", "--seed", "7", "--save", str(tmp_path / "x.svg")).code == 0
    text = (tmp_path / "x.svg").read_text(encoding="utf-8")
    found = re.findall(r'textLength="([\d.]+)"[^>]*>([^<]*)</text>', text)
    widths = {round(float(wide) / cells(html.unescape(said).replace("\u200b", "")), 2) for wide, said in found}
    assert len(widths) == 1
    assert demo("--lang", "zh", "--compare", "--seed", "7", "--save", str(tmp_path / "x.html")).code == 0
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert '<html lang="zh-CN">' in page
    assert len(re.findall("[\u3001-\u9fff]", page)) > 100
    assert not re.search(
        "[\u3001-\u9fff]", re.sub(r'<span style="letter-spacing:calc\(2ch - 1em\)">[^<]*</span>', "", page)
    )


@posix
def test_on_a_terminal_the_table_is_straight(demo: Demo) -> None:
    code, shown, _ = on_a_terminal("--lang", "zh", "--compare", "--seed", "7", NO_COLOR="1")
    assert code == 0
    lines = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown).replace("\r", "").splitlines()
    row = {line.split()[0]: line for line in lines if line and line[0] != " "}
    columns = [cells(row["数值"][: row["数值"].index(word)]) for word in ("*", "都没变")]
    assert columns == [row["version"].index("*"), row["version"].rindex("0")]


def test_in_python_a_report_shows_itself_in_the_language_that_is_asked_for(
    chinese: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, other = relu_demo.show("compare", seed=7, lang="zh"), relu_demo.show("compare", seed=7)
    assert repr(report) == "<relu-demo --compare --seed 7: 7 条论断全部成立>"
    assert str(report).endswith("7 条论断全部成立。")
    assert "条论断全部成立。" in report._repr_html_()
    console = Console(file=io.StringIO(), width=80)
    console.print(report)
    assert console.file.getvalue().endswith("7 条论断全部成立。\n")  # type: ignore[attr-defined]
    assert str(other).endswith("All 7 claims hold.")
    assert [each["says"] for each in report.to_dict()["claims"]] == [each["says"] for each in other.to_dict()["claims"]]
    with pytest.raises(BadInput, match="there is no language 'fr'; give one of 'en', 'zh'"):
        relu_demo.show(lang="fr")
