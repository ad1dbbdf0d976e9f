"""An edit as data: a range of a file and what stands there instead; the file with its edits, and the patch of them."""

from __future__ import annotations

import difflib
import io
import os
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Position = tuple[int, int]
"""A line, counted from 1, and a column in bytes of that line in UTF-8, counted from 0, as a syntax tree has them."""

LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]*\Z")


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


def apply(text: str | bytes, edits: Iterable[Edit]) -> bytes:
    """
    Return the bytes of a file with its edits; every byte outside of their ranges stays as it is.

    Of edits that overlap the first is taken. Raise ValueError if a position is not in the text, and SyntaxError if its
    encoding is unknown.
    """
    raw, encoding = _encoded(text)
    lines = LINE.findall(raw)
    lines = lines[:-1] if len(lines) > 1 and not _end_of(lines[-2]) else lines
    done, last = [], 0
    for edit in compatible(edits):
        start, end = (_offset(lines, position, encoding) for position in (edit.start, edit.end))
        own_end = next((_end_of(line) for line in (lines[edit.start[0] - 1], *lines) if _end_of(line)), b"\n")
        done += [raw[last:start], edit.new.encode(_plain(encoding)).replace(b"\n", own_end)]
        last = end
    return b"".join([*done, raw[last:]])


def compatible(edits: Iterable[Edit]) -> list[Edit]:
    """Return edits in the order of their places, without those that equal or overlap one that was given before."""
    taken: list[Edit] = []
    for edit in edits:
        if not any(edit == other or _overlap(edit, other) for other in taken):
            taken.append(edit)
    return sorted(taken, key=lambda edit: (edit.file, edit.start, edit.end))


def united(cures: Iterable[Iterable[Edit]]) -> tuple[Edit, ...]:
    """Return the edits of several cures; of one that overlaps a cure before it, nothing."""
    taken: list[Edit] = []
    for edits in map(list, cures):
        if not any(edit != other and _overlap(edit, other) for edit in edits for other in taken):
            taken += [edit for edit in edits if edit not in taken]
    return tuple(taken)


def edited(edits: Iterable[Edit], texts: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """
    Return the bytes of each file with its edits, by its real path. Raise OSError if a file cannot be read.

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
    """
    Return the patch that makes files of a folder into these texts by `patch -p0`.

    Bytes that are no UTF-8 stand in it as surrogates: write it with `errors="surrogateescape"`. Raise OSError if a file
    cannot be read.
    """
    parts = []
    for path, new in sorted(texts.items()):
        # patch ends a name at a tab, so that one may have spaces.
        name = os.path.relpath(path, os.path.realpath(folder)).replace(os.sep, "/") + "\t"
        body = _unified(_lines(Path(path).read_bytes()), _lines(new), name)
        parts += [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in body]
    return "".join(parts)


def _unified(old: list[str], new: list[str], name: str) -> Iterator[str]:
    """Yield what `difflib.unified_diff` does, which takes frequent lines of a long file for changed ones."""
    groups = list(difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes())
    if groups:
        yield from (f"--- {name}\n", f"+++ {name}\n")
    for group in groups:
        first, last = group[0], group[-1]
        yield f"@@ -{_counted(first[1], last[2])} +{_counted(first[3], last[4])} @@\n"
        for kind, start, end, new_start, new_end in group:
            if kind == "equal":
                yield from (f" {line}" for line in old[start:end])
            else:
                yield from (f"-{line}" for line in old[start:end])
                yield from (f"+{line}" for line in new[new_start:new_end])


def _counted(start: int, end: int) -> str:
    """Return a range of lines as a patch has it."""
    return f"{start + (end > start)},{end - start}"


def _overlap(one: Edit, other: Edit) -> bool:
    return one.file == other.file and one.start < other.end and other.start < one.end


def _encoded(text: str | bytes) -> tuple[bytes, str]:
    raw = text.encode() if isinstance(text, str) else text
    encoding, _ = tokenize.detect_encoding(io.BytesIO(re.sub(rb"\r\n?", b"\n", raw)).readline)
    return (text.encode(_plain(encoding)) if isinstance(text, str) else raw), encoding


def _plain(encoding: str) -> str:
    return encoding.removesuffix("-sig")


def _offset(lines: list[bytes], position: Position, encoding: str) -> int:
    """Return how many bytes of the file stand before a position."""
    number, column = position
    if not 1 <= number <= len(lines):
        raise ValueError(f"there is no line {number} of {len(lines)}")
    mark = 3 if encoding.endswith("-sig") and number == 1 else 0
    line = lines[number - 1][mark:].rstrip(b"\r\n").decode(_plain(encoding)).encode()
    if column > len(line):
        raise ValueError(f"there is no column {column} in line {number}")
    before = line[:column].decode().encode(_plain(encoding))
    return sum(map(len, lines[: number - 1])) + mark + len(before)


def _end_of(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]


def _lines(text: bytes) -> list[str]:
    """Return a text's lines, each with its line feed."""
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    return [f"{line}\n" for line in lines[:-1]] + [line for line in lines[-1:] if line]
