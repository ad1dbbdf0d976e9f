"""The output: a report on standard output, or in a file that is replaced once it is complete; a bar meanwhile."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from relu_demo.errors import CLOSED
from relu_demo.language import _, cells
from relu_demo.machine.terminal import is_terminal
from relu_demo.request import command_line
from relu_demo.views import COLOURED, DOCUMENT, VIEWS, function_named, writer_of

if TYPE_CHECKING:
    from relu_demo.scenarios import AnyReport


def deliver(report: AnyReport, view: str, out: TextIO | None) -> None:
    """Show a report on what is standard output. A closed pipe is no fault: its reader has seen enough."""
    if out is None:
        raise click.ClickException(_(CLOSED))
    try:
        writer_of(view)(report, out)
        out.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EINVAL):  # as Unix and Windows say that nobody reads on
            raise


def save(report: AnyReport, view: str, path: Path, light: bool) -> None:
    """Save the screen of a view to a file, as its ending says, on white if it is `light`.

    Raise OSError where it cannot be written.
    """
    put(path, file_text(view, report, path.suffix.lower(), light))
    if is_terminal(sys.stderr):
        print(_("Saved to {path}", path=path), file=sys.stderr)


def file_text(name: str, report: AnyReport, ending: str, light: bool = False) -> str:
    """Return the text of a file: the screen of the view of that name, on white if it is `light`; for DOCUMENT JSON."""
    if lessons := VIEWS[name].lessons:
        lesson: str = function_named(lessons)[ending](report, light)
        return lesson
    if ending not in COLOURED:
        text = io.StringIO()
        writer_of("json" if ending == DOCUMENT else name)(report, text)
        return text.getvalue()
    from relu_demo.views.pictures import DARK, LIGHT, PICTURES

    screen = function_named(VIEWS[name].screen)(report)
    return PICTURES[ending](screen, command_line(report.request), LIGHT if light else DARK)


def check_place(path: Path) -> None:
    """Raise OSError where `put` could not write `path`. Leave nothing behind."""
    place = followed(path)
    if place.is_dir():
        raise OSError(errno.EISDIR, _("it is a folder"))
    if place.exists() and not place.is_file():
        raise OSError(errno.EINVAL, _("it is no ordinary file"))
    if place.exists() and not os.access(place, os.W_OK):
        raise OSError(errno.EACCES, _("it is read-only"))
    beside = neighbour(place)
    beside.touch()
    beside.unlink()


def put(path: Path, text: str) -> None:
    """Put a file with `text`, in UTF-8 with Unix line ends, at `path`. Whatever is there stays until all is written.

    A link stays a link, and the file keeps its mode. Raise OSError where it cannot be written.
    """
    place = followed(path)
    beside = neighbour(place)
    try:
        with open(beside, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            beside.chmod(place.stat().st_mode)
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


def followed(path: Path) -> Path:
    """Return where a path leads once links are followed. Raise OSError where it cannot be a path, or leads nowhere."""
    try:
        place = Path(os.path.realpath(path))
    except ValueError as error:  # a NUL in it
        raise OSError(errno.EINVAL, _("it is no name for a file")) from error
    if place.is_symlink():
        raise OSError(errno.ELOOP, _("its links lead in a circle"))
    return place


def neighbour(path: Path) -> Path:
    """Return a new name beside `path`: a file can take the place of another only within one file system."""
    return path.with_name(f".relu-demo-{os.urandom(6).hex()}.tmp")


@contextmanager
def progress_bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function `(done, of)` that draws a bar on stderr, where that is a terminal; take the bar away at the end.

    click's bar goes around the loop that works. This one is drawn by the call, between two measurements.
    """
    stream, drawn = sys.stderr, ""

    def draw(done: int, of: int) -> None:
        nonlocal drawn
        if is_terminal(stream):
            drawn = f"\r{doing} [{'#' * (30 * done // (of or 1)):-<30}]"
            stream.write(drawn)
            stream.flush()

    try:
        yield draw
    finally:
        if drawn:
            # The user's network may have replaced or closed standard error.
            with suppress(OSError, ValueError):
                stream.write("\r" + " " * cells(drawn) + "\r")
                stream.flush()
