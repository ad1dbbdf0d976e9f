"""The saving: a file that is replaced only once the new one is complete."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def check_place(path: Path) -> None:
    """Gives None where `replace` can write `path`, and leaves nothing behind. Raises OSError where it cannot."""
    place = followed(path)
    if place.is_dir():
        raise IsADirectoryError(0, "it is a folder")
    if place.exists() and not place.is_file():
        raise OSError(0, "it is no ordinary file")
    if place.exists() and not os.access(place, os.W_OK):
        raise PermissionError(0, "it is read-only")
    beside = neighbour(place)
    beside.touch(exist_ok=False)
    beside.unlink()


def replace(path: Path, text: str) -> None:
    """Puts a file with `text`, in UTF-8 with Unix line ends, at `path`. Whatever is there stays until all is written.

    A link stays a link, and the file's mode is kept. Raises OSError where it cannot be written.
    """
    place = followed(path)
    beside = neighbour(place)
    try:
        with beside.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            beside.chmod(place.stat().st_mode)
        beside.replace(place)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def followed(path: Path) -> Path:
    """Where the path leads once links are followed. Raises OSError where it cannot be a path."""
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:  # a NUL in it
        raise OSError(0, "it is no name for a file") from error


def neighbour(path: Path) -> Path:
    """A new name beside `path`: a file can take the place of another only within one file system."""
    return path.with_name(f".relu-demo-{os.urandom(6).hex()}.tmp")
