"""Saving: the same screen as a file, by its ending; an old file stays until the new one is complete."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import pytest
from support.commands import COMMAND, Demo, Result, held, without_addresses
from support.processes import PYTHON, ROOT, command_environment
from support.ptys import on_a_terminal, posix

from relu_demo.views import COLOURED, ENDINGS
from relu_demo.views.session_screen import TINTS

sys.path.insert(0, str(ROOT / "scripts"))

from pictures import FOLDER, PICTURES, make

Save = Callable[..., str]


@pytest.fixture
def save(demo: Demo, tmp_path: Path) -> Save:
    """Saves a screen in a file of that ending and gives what is in it."""

    def call(ending: str, *arguments: str) -> str:
        path = tmp_path / f"screen{ending}"
        assert demo(*arguments, "--save", str(path)) == Result(0, "", "")
        assert not list(tmp_path.glob(".*"))
        return path.read_text(encoding="utf-8")

    return call


def svg_words(text: str) -> list[str]:
    """The words of a picture, row by row, from left to right, put where the picture has them."""
    rows: dict[float, str] = {}
    for element in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text"):
        if "textLength" in element.attrib and (words := (element.text or "").strip("\n")):
            row = float(element.attrib["y"])
            column = round(float(element.attrib["x"]) / float(element.attrib["textLength"]) * len(words))
            rows[row] = rows.get(row, "").ljust(column) + words.replace("\xa0", " ")
    return " ".join(words for _, words in sorted(rows.items())).split()


def html_words(text: str) -> list[str]:
    return unescape(re.sub(r"<[^>]+>", "", text.partition("<pre>")[2])).split()


@pytest.mark.versions
@pytest.mark.parametrize(
    "options", [("--compare",), (), ("--branches",), ("--inplace", "--shape", "2,3,40,50")], ids=" ".join
)
def test_a_file_has_the_same_screen(demo: Demo, save: Save, options: tuple[str, ...]) -> None:
    options = (*options, "--seed", "7")
    screen = without_addresses(demo(*options).out)
    assert without_addresses(save(".txt", *options)) == screen
    for words in (html_words(save(".html", *options)), svg_words(save(".svg", *options))):
        text = " ".join(without_addresses(" ".join(words)).split())
        assert text.replace(f"; {TINTS}", "") == " ".join(screen.split())  # plain text has no colours to explain


@pytest.mark.versions
def test_a_transcript_can_be_saved_too(demo: Demo, save: Save) -> None:
    options = ("--repl", "--inplace", "--seed", "7")
    assert without_addresses(save(".txt", *options)) == without_addresses(demo(*options).out)
    for words in (html_words(save(".html", *options)), svg_words(save(".svg", *options))):
        assert "".join(words).startswith(">>>importtorch>>>importtorch.nnasnn>>>")
        assert "doctest:" not in words


@pytest.mark.parametrize("view", [(), ("--repl",)], ids=["tables", "repl"])
@pytest.mark.parametrize("ending", [".svg", ".html"])
def test_a_picture_needs_nothing_from_elsewhere(save: Save, ending: str, view: tuple[str, ...]) -> None:
    text = save(ending, "--compare", *view).replace('xmlns="http://www.w3.org/2000/svg"', "")
    for fetch in ("://", "@import", "@font-face", "src=", "href=", "<script", "<link", "<image"):
        assert fetch not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}


def test_a_page_is_whole(save: Save) -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.open += [tag] if tag != "meta" else []

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    text = save(".html", "--compare", "--seed", "7")
    assert text.startswith("<!DOCTYPE html>")
    assert "<title>relu-demo --compare --seed 7</title>" in text
    assert '<meta charset="utf-8">' in text
    reader = Reader()
    reader.feed(text)
    assert reader.open == []


@pytest.mark.parametrize("ending", [*COLOURED, ".txt"])
def test_a_file_is_as_wide_as_the_screen(save: Save, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    narrow = save(ending, "--compare")
    monkeypatch.setenv("COLUMNS", "170")
    wide = save(ending, "--compare")
    if ending == ".svg":
        first, second = (float(re.findall(r'viewBox="0 0 ([\d.]+)', text)[0]) for text in (narrow, wide))
        assert second > 4 * first
    else:
        assert len(narrow.splitlines()) > 1.5 * len(wide.splitlines())


def test_a_checked_network_that_goes_to_another_folder_does_not_take_the_file_along(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "net.py").write_text("import os, torch.nn as nn\nos.chdir('elsewhere')\nNet = lambda: nn.ReLU()\n")
    done = subprocess.run(
        [*COMMAND, "check", "net.py:Net", "--shape", "1,3", "--save", "x.svg"],
        cwd=tmp_path,
        env=command_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x.svg").exists()


@posix
def test_a_terminal_is_told_where_the_screen_went(tmp_path: Path) -> None:
    code, shown, _ = on_a_terminal("--inplace", "--save", str(tmp_path / "x.svg"))
    assert code == 0
    assert shown.rstrip("\r\n").endswith(f"Saved to {tmp_path / 'x.svg'}")
    assert ">>>" not in shown


@pytest.mark.parametrize("name", ["x.png", "x", ".svg", "svg", "x.svg.gz", "-", "", "x.svgé"])
def test_another_ending_is_a_usage_error_that_lists_them(demo: Demo, name: str) -> None:
    result = demo("--save", name)
    held(result.code, result.out, result.err)
    assert ".svg, .html, .txt or .json" in result.err
    assert ("rsvg-convert x.svg -o x.png" in result.err) == (name == "x.png")


def test_a_json_file_takes_the_document(demo: Demo, save: Save) -> None:
    saved, shown = json.loads(save(".json", "--compare", "--seed", "7")), demo("--compare", "--seed", "7", "--json")
    assert saved.keys() == shown.document.keys()
    assert saved["claims"][0]["verdict"] == "holds"


def test_the_terminal_says_nothing_about_a_file(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
        for ending in ENDINGS:
            text = save(ending, "--inplace")
            assert "\x1b" not in text
            assert ("#9c1670" in text) == (ending in COLOURED)


@pytest.mark.parametrize("place", ["missing/x.svg", "file/x.svg", "folder.svg", "pipe.svg", "nul\0.svg", "long"])
def test_an_unwritable_place_is_told(demo: Demo, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.svg").mkdir()
    if place == "pipe.svg":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no named pipes here")
        os.mkfifo(tmp_path / place)
    result = demo("--save", str(tmp_path / place) if place != "long" else str(tmp_path / ("x" * 5000) / "y.svg"))
    held(result.code, result.out, result.err)
    assert "cannot be written" in result.err
    assert {found.name for found in tmp_path.iterdir()} <= {"file", "folder.svg", "pipe.svg"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_or_file_is_told(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "x.svg").write_text("old")
    (tmp_path / "x.svg").chmod(0o444)
    result = demo("--save", str(tmp_path / "x.svg"))
    held(result.code, result.out, result.err)
    (tmp_path / "x.svg").chmod(0o644)
    tmp_path.chmod(0o555)
    result = demo("--save", str(tmp_path / "x.svg"))
    tmp_path.chmod(0o755)
    held(result.code, result.out, result.err)
    assert (tmp_path / "x.svg").read_text() == "old"


@pytest.mark.parametrize("arguments", [["--device", "gpu"], ["--dtype", "int8"], ["--shape", "1,3,99999999,99999"]])
def test_a_run_that_fails_leaves_the_old_file(demo: Demo, tmp_path: Path, arguments: list[str]) -> None:
    path = tmp_path / "x.svg"
    path.write_text("old")
    result = demo(*arguments, "--save", str(path))
    held(result.code, result.out, result.err)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_a_disk_that_is_full_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    path.write_text("old")
    shell = f"ulimit -f 4; exec {shlex.join(COMMAND)} --compare --save '{path}'"
    done = subprocess.run(["bash", "-c", shell], env=command_environment(), capture_output=True, text=True, timeout=60)
    held(done.returncode, done.stdout, done.stderr)
    assert "the output cannot be written: File too large" in done.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_a_link_stays_a_link_and_a_mode_a_mode_and_capitals_in_the_ending_will_do(demo: Demo, tmp_path: Path) -> None:
    real, link, fresh = tmp_path / "real.svg", tmp_path / "link.svg", tmp_path / "FRESH.SVG"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    assert demo("--save", str(link)).code == demo("--save", str(fresh)).code == 0
    assert link.is_symlink()
    assert all(path.read_text(encoding="utf-8").startswith("<svg") for path in (real, fresh))
    assert real.stat().st_mode & 0o777 == 0o640
    umask = os.umask(0)
    os.umask(umask)
    assert fresh.stat().st_mode & 0o777 == 0o666 & ~umask


@posix
def test_a_circle_of_links_is_refused(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "a.svg").symlink_to("b.svg")
    (tmp_path / "b.svg").symlink_to("a.svg")
    result = demo("--save", str(tmp_path / "a.svg"))
    held(result.code, result.out, result.err)
    assert "a.svg' cannot be written (its links lead in a circle); give a file in a folder" in result.err
    assert (tmp_path / "a.svg").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from relu_demo.cli.output import put
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
put(Path(sys.argv[1]), "new")
"""


@posix
def test_a_run_that_is_killed_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=command_environment(PYTHONPATH=str(ROOT)))
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def comparable(picture: str) -> tuple[list[str], list[str], list[str]]:
    """What a picture shows: its words, its styles and its coloured cells, apart from ids, addresses and versions."""
    words = re.sub(
        r"(PyTorch|relu-demo) \d[^\s,)]*",
        r"\1",
        without_addresses(" ".join(re.findall(r"<text[^>]*>([^<]*)<", picture))),
    )
    styles = re.findall(r"^\..* \{.*\}$", picture, re.MULTILINE)
    return words.split(), styles, re.findall(r'<rect (?:fill|class)="([#\w]+)" x="[\d.]+" y', picture)


@pytest.mark.versions
@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_of_the_readme_are_what_the_command_draws(tmp_path: Path, name: str) -> None:
    if "--repl" in PICTURES[name] and int(version("pygments").split(".")[1]) < 20:
        pytest.skip("an older Pygments takes Python apart in another way")
    there = comparable((FOLDER / name).read_text(encoding="utf-8"))
    drawn = make(name, tmp_path, PYTHON).read_text(encoding="utf-8")
    assert comparable(drawn) == there, "give: python scripts/pictures.py"
    words, styles, cells = there
    assert len(words) > 100
    assert len(styles) > 5
    assert (len(cells) > 50) == ("--repl" not in PICTURES[name])


def test_there_is_no_other_picture() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PICTURES)
