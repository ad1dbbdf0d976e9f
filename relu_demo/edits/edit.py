"""A fault, its cure and the edits of that as data; the file with its edits, and the patch of them."""

from __future__ import annotations

import difflib
import io
import os
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from relu_demo.sanitizer.place import Place

Position = tuple[int, int]
"""A line, counted from 1, and a column in bytes of that line in UTF-8, counted from 0, as a syntax tree has them."""


@dataclass(frozen=True)
class Edit:
    """The range of a file from `start` up to `end`, and the text that replaces it."""

    file: str
    start: Position
    end: Position
    new: str
    """Its lines end in a line feed, whatever those of the file end in."""


@dataclass(frozen=True)
class Cure:
    """What to do about a fault: in words, and as edits where there is a way that is right."""

    says: str
    """What to do, in words."""
    edits: tuple[Edit, ...] = ()
    """The cure as edits of the source; empty where it cannot be written as such."""
    warning: str = ""
    """What the cure changes besides."""
    works: bool | None = None
    """Whether the program ran with the edits and nothing was found; None where that was not tried."""
    further: int = 0
    """How many more edits it ran with, for what was found only behind this fault. The patch of a watch has them."""

    @property
    def diff(self) -> str | None:
        """The edits as one patch; None where there is none, or a file is gone or was changed meanwhile."""
        try:
            return diff(self.edits) or None
        except (OSError, ValueError):
            return None

    @property
    def tried(self) -> bool:
        """Whether the program was run with the edits."""
        return self.works is not None


@dataclass(frozen=True)
class Scene:
    """One fault: every field that is not known is left as it is."""

    kind: Literal["overwritten", "refused", "silent"]
    refusal: str = ""
    """The key of the reason for which PyTorch refused a write: `leaf`, `several-views`, `expanded`."""
    saver: Place | None = None
    made_by: Place | None = None
    """Where the view, the expanded tensor, the several views or the inference tensor was made."""
    writers: tuple[Place, ...] = ()
    raised_at: Place | None = None
    """The backward, or the refused write."""
    tensor: str | None = None
    is_parameter: bool = False
    """Whether it is a parameter, or a view of one."""
    is_state: bool = False
    """Whether it is a parameter or a buffer of a module."""
    in_container: bool = False
    """Whether the line writes to an item of a list or of a dictionary, and not to a part of a tensor."""
    gradient_is_written: bool = False
    """Whether what is written requires grad, so that nothing may be written under no_grad()."""
    built_at: Place | None = None
    """Where the module that wrote is built: `nn.ReLU(inplace=True)`; its operation is the class."""
    carried: bool = False
    """Whether the backward goes on into the graph of an earlier step."""


def apply(raw: bytes, edits: Iterable[Edit]) -> bytes:
    """Return the bytes of a file with its edits; every byte outside of their ranges stays as it is.

    Raise ValueError if a position is not in the text or two edits overlap, and SyntaxError if its encoding is unknown.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(re.sub(rb"\r\n?", b"\n", raw)).readline)
    text = raw.decode(encoding).encode()
    lines = re.split(rb"(?<=\n)|(?<=\r)(?!\n)", text)
    done, last = [], 0
    for edit in sorted(dict.fromkeys(edits), key=lambda edit: (edit.start, edit.end)):
        start, end = _offset(lines, edit.start), _offset(lines, edit.end)
        if start < last:
            raise ValueError(f"two edits overlap in line {edit.start[0]}")
        line_end = _end_of(lines[edit.start[0] - 1]) or _end_of(lines[0]) or b"\n"
        done += [text[last:start], edit.new.encode().replace(b"\n", line_end)]
        last = end
    return b"".join([*done, text[last:]]).decode().encode(encoding)


def united(cures: Iterable[Iterable[Edit]]) -> tuple[Edit, ...]:
    """Return the edits of several cures, without those of a cure that overlaps an earlier one."""
    taken: list[Edit] = []
    for edits in map(list, cures):
        if not any(edit != other and _overlap(edit, other) for edit in edits for other in taken):
            taken += [edit for edit in edits if edit not in taken]
    return tuple(taken)


def edited(edits: Iterable[Edit], texts: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """Return the bytes of each file with its edits, by its real path. Raise OSError if a file cannot be read.

    `texts`: what files were made of by edits before, which is edited on and returned with the rest.
    """
    done, by_path = dict(texts or {}), dict[str, list[Edit]]()
    for edit in edits:
        by_path.setdefault(os.path.realpath(edit.file), []).append(edit)
    for path, found in by_path.items():
        done[path] = apply(done[path] if path in done else Path(path).read_bytes(), found)
    return done


def diff(edits: Iterable[Edit], folder: str = ".") -> str:
    """Return one patch of all edits, as `patch` does."""
    return patch(edited(edits), folder)


def patch(texts: Mapping[str, bytes], folder: str = ".") -> str:
    """Return the patch that makes files of a folder into these texts by `patch -p0`.

    Bytes that are no UTF-8 stand in it as surrogates: write it with `errors="surrogateescape"`. Raise OSError if a file
    cannot be read.
    """
    parts: list[str] = []
    for path, new in sorted(texts.items()):
        # patch ends a name at a tab, so that one may have spaces.
        name = os.path.relpath(path, os.path.realpath(folder)).replace(os.sep, "/") + "\t"
        parts += difflib.unified_diff(_lines(Path(path).read_bytes()), _lines(new), name, name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in parts)


def _lines(text: bytes) -> list[str]:
    return re.split(r"(?<=\n)(?!\Z)", text.decode("utf-8", "surrogateescape"))


def _overlap(one: Edit, other: Edit) -> bool:
    return one.file == other.file and one.start < other.end and other.start < one.end


def _offset(lines: list[bytes], position: Position) -> int:
    """Return how many bytes of the text stand before a position."""
    number, column = position
    if not 1 <= number <= len(lines) or column > len(lines[number - 1]) - len(_end_of(lines[number - 1])):
        raise ValueError(f"there is no line {number} with a column {column}")
    return sum(map(len, lines[: number - 1])) + column


def _end_of(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]
