"""Edits of a file: only their ranges change, whatever its encoding and line ends, and the patch does the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relu_demo.edits.edit import Edit, apply, diff, edited, united

LINES = st.lists(
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n", exclude_categories=["Cc"])), max_size=6
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "cp1252"])


def encoded(lines: list[str], end: str, encoding: str) -> bytes:
    plain = encoding.removesuffix("-sig")
    head = f"# coding: {plain}"
    return end.join([head, *lines]).encode(encoding, "replace")


@given(LINES, ENDS, ENCODINGS, st.data())
def test_what_is_outside_of_an_edit_stays_byte_for_byte(
    lines: list[str], end: str, encoding: str, data: st.DataObject
) -> None:
    raw = encoded(lines, end, encoding)
    whole = raw.decode(encoding).split(end)
    number = data.draw(st.integers(1, len(whole)))
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(whole[number - 1]))] * 2)))
    if number == 1 and first < len(whole[0]):
        first = last = len(whole[0])  # the cookie is left alone
    columns = [len(whole[number - 1][:at].encode()) for at in (first, last)]
    edit = Edit("x.py", (number, columns[0]), (number, columns[1]), "né\nw")
    after = [*whole]
    after[number - 1] = (
        whole[number - 1][:first] + f"né{end if len(whole) > 1 else chr(10)}w" + whole[number - 1][last:]
    )
    assert apply(raw, [edit]) == end.join(after).encode(encoding)
    assert apply(raw, []) == raw


TEXT = b"a = 1\nbb = 2\nccc = 3"
FIRST = Edit("x.py", (1, 4), (1, 5), "5")
BOTH = Edit("x.py", (1, 0), (2, 6), "d = 0")
LINE = Edit("x.py", (2, 0), (2, 0), "new\n")


def test_equal_edits_are_done_once_and_two_that_overlap_are_refused() -> None:
    assert apply(TEXT, [LINE, FIRST, FIRST]) == b"a = 5\nnew\nbb = 2\nccc = 3"
    with pytest.raises(ValueError, match="overlap"):
        apply(TEXT, [FIRST, BOTH])


def test_a_cure_that_overlaps_another_is_left_out_as_a_whole() -> None:
    assert united([[FIRST], [LINE, BOTH], [FIRST, LINE]]) == (FIRST, LINE)


@pytest.mark.parametrize("position", [(0, 0), (4, 0), (1, 6)])
def test_a_position_that_is_not_there_is_refused(position: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="there is no"):
        apply(TEXT, [Edit("x.py", position, position, "")])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "no end"])
def test_patch_does_what_apply_does(end: str, last: str, tmp_path: Path) -> None:
    text = end.join(["# coding: latin-1", "é = 'ü'", *map("x{} = 0".format, range(20)), last])
    paths = [tmp_path / "one.py", tmp_path / "a folder" / "two.py"]
    edits = []
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
        edits += [Edit(str(path), (line, 0), (line, 2), "y = \n") for line in (2, 15, 22)]
    wanted, patch = edited(edits), diff(edits, str(tmp_path))
    assert patch.count("+++ ") == len(paths)
    given = patch.encode("utf-8", "surrogateescape")
    subprocess.run(["patch", "-p0", "--binary"], cwd=tmp_path, input=given, check=True, capture_output=True)
    assert {str(path): path.read_bytes() for path in paths} == wanted
