"""The values of the options: how each is read, and how the shell completes it. No file of the user's is imported."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from relu_demo.errors import SetupError
from relu_demo.language import LANGUAGES, _
from relu_demo.request import WHOLE, Input
from relu_demo.session.faults import PAGES
from relu_demo.session.sessions import part_names
from relu_demo.views import ENDINGS

if TYPE_CHECKING:
    from pathlib import Path

    from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[Any]]
"""What click asks for the words that may stand in place of a begun one."""

WRITTEN = re.compile(r"(?:([^\W\d]\w*)=)?([^:]*)(?::([^\W\d]\w*))?(?::([^:]*))?")
"""A random input: `[NAME=]SIZES[:DTYPE][:LOW..HIGH]`, the sizes as whole numbers between commas."""


def number_read(value: Any) -> int:
    """Return a whole number. Raise BadParameter for anything else."""
    try:
        return int(value)
    except ValueError:
        why = _("'{value}' is not a whole number; give one, for example 7", value=value)
        raise click.BadParameter(why) from None


def input_read(value: str) -> Input:
    """Return a random input. Raise BadParameter for anything else."""
    match = WRITTEN.fullmatch(value)
    if match is None:
        why = _("'{value}' is no shape; give for example 1,3,5,5 or ids=2,16:int64:0..999", value=value)
        raise click.BadParameter(why)
    name, sizes, dtype, bounds = match.groups()
    try:
        shape = tuple(int(size) for size in sizes.split(","))
    except ValueError:
        why = _("'{value}' is not whole numbers between commas; give for example 1,3,5,5", value=value)
        raise click.BadParameter(why) from None
    try:
        return Input(shape, dtype or "", None if bounds is None else bounds_read(bounds), name or "")
    except SetupError as error:
        raise click.BadParameter(str(error)) from None
    except ValueError:
        why = _("'{value}' has no range behind its colon; give for example 2,16:0..999", value=value)
        raise click.BadParameter(why) from None


def bounds_read(text: str) -> tuple[float, float]:
    """Return both numbers of `LOW..HIGH`: whole, or both with a fraction. Raise ValueError for anything else."""
    low, high = text.split("..")
    try:
        return int(low), int(high)
    except ValueError:
        bounds = float(low), float(high)
    if not all(map(math.isfinite, bounds)):
        raise ValueError(text)
    return bounds


def file_read(value: str) -> Path:
    """Return the path of a file that a report can be saved to. Raise BadParameter for an ending not in ENDINGS."""
    from pathlib import Path  # --help does without

    path = Path(value)
    if path.suffix.lower() not in ENDINGS:
        *others, last = ENDINGS
        why = _("'{path}' has no known ending; use {others} or {last}", path=path, others=", ".join(others), last=last)
        if path.suffix.lower() == ".png":
            why = _("{why}; for a .png: rsvg-convert x.svg -o x.png", why=why)
        raise click.BadParameter(why)
    return path


def language_read(value: str) -> str:
    """Return a language that the demonstrator speaks. Raise BadParameter for another."""
    if value not in LANGUAGES:
        why = _("'{value}' is no language of relu-demo; give one of {names}", value=value, names=", ".join(LANGUAGES))
        raise click.BadParameter(why)
    return value


def one_of(names: Callable[[click.Context], Iterable[str]]) -> Complete:
    """Return what completes one of the names that there are."""
    return lambda context, parameter, begun: [name for name in names(context) if name.startswith(begun)]


def usual(*names: str) -> Complete:
    """Return what completes one of these names; of most of them only PyTorch can judge."""
    return one_of(lambda context: names)


parts = one_of(lambda context: part_names(context.meta.get("scenario", WHOLE)))
pages = one_of(lambda context: [] if context.params.get("names") else [page.name for page in PAGES])


def files(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Have the shell itself complete the name of a file."""
    from click.shell_completion import CompletionItem  # --help does without

    return [CompletionItem(begun, type="file")]


def targets(context: click.Context, parameter: click.Parameter, begun: str) -> list[Any]:
    """Return how a target goes on: the name of a file, and behind `file.py:` a name that the file defines.

    Bash cuts a target at its colon (COMP_WORDBREAKS), and what is answered then goes behind the colon.
    """
    from relu_demo.cli.targets import public_names

    words = list(context.params.get(parameter.name or "") or ())
    file, colon, name = begun.rpartition(":")
    before = f"{file}:"
    if words and words[0].endswith(".py") and (begun == ":" or words[1:] == [":"]):
        file, before = words[0], ""
    elif words or not (colon and file.endswith(".py")):
        return files(context, parameter, begun)
    return [before + each for each in public_names(file) if each.startswith(name)]
