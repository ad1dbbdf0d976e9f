"""The types of the options' values: how each is read, and how the shell completes it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

from relu_demo.cli.completion import files, targets, words
from relu_demo.errors import SetupError
from relu_demo.language import LANGUAGES, _
from relu_demo.request import WHOLE, Input
from relu_demo.session.faults import PAGES
from relu_demo.session.sessions import part_names
from relu_demo.views import ENDINGS

if TYPE_CHECKING:
    from pathlib import Path

    from click.shell_completion import CompletionItem


class NumberType(click.ParamType):  # type: ignore[type-arg]
    """A whole number."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number. Fail for anything else."""
        try:
            return int(value)
        except ValueError:
            self.fail(_("'{value}' is not a whole number; give one, for example 7", value=value), param, ctx)


class InputType(click.ParamType):  # type: ignore[type-arg]
    """A random input: `[NAME=]SIZES[:DTYPE][:LOW..HIGH]`, the sizes as whole numbers between commas."""

    name = "shape"
    written = re.compile(r"(?:([^\W\d]\w*)=)?([^:]*)(?::([^\W\d]\w*))?(?::([^:]*))?")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Input:
        """Return the input. Fail for anything else."""
        if isinstance(value, Input):
            return value
        match = self.written.fullmatch(value)
        if match is None:
            why = _("'{value}' is no shape; give for example 1,3,5,5 or ids=2,16:int64:0..999", value=value)
            self.fail(why, param, ctx)
        name, sizes, dtype, bounds = match.groups()
        try:
            shape = tuple(int(size) for size in sizes.split(","))
        except ValueError:
            why = _("'{value}' is not whole numbers between commas; give for example 1,3,5,5", value=value)
            self.fail(why, param, ctx)
        try:
            return Input(shape, dtype or "", None if bounds is None else self.bounds(bounds), name or "")
        except ValueError as error:
            if isinstance(error, SetupError):
                raise
            why = _("'{value}' has no range behind its colon; give for example 2,16:0..999", value=value)
            self.fail(why, param, ctx)

    @staticmethod
    def bounds(text: str) -> tuple[float, float]:
        """Return both numbers of `LOW..HIGH`: whole, or both with a fraction. Raise ValueError for anything else."""
        low, high = text.split("..", 1)
        try:
            return int(low), int(high)
        except ValueError:
            bounds = float(low), float(high)
        if not all(map(math.isfinite, bounds)):
            raise ValueError(text)
        return bounds


class NameType(click.ParamType):  # type: ignore[type-arg]
    """A name that only PyTorch can judge. The shell completes the `usual` ones."""

    name = "name"

    def __init__(self, *usual: str) -> None:
        self.usual = usual

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the usual names that begin like this."""
        return words(self.usual, incomplete)


class LanguageType(click.ParamType):  # type: ignore[type-arg]
    """A language that the demonstrator speaks."""

    name = "language"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the language. Fail for one that is not in LANGUAGES."""
        if value not in LANGUAGES:
            names = ", ".join(LANGUAGES)
            self.fail(
                _("'{value}' is no language of relu-demo; give one of {names}", value=value, names=names), param, ctx
            )
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the languages that begin like this."""
        return words(LANGUAGES, incomplete)


class PartType(click.ParamType):  # type: ignore[type-arg]
    """The key of a part of the session."""

    name = "part"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the parts of the scenario that begin like this."""
        return words(part_names(ctx.meta.get("scenario", WHOLE)), incomplete)


class PageType(click.ParamType):  # type: ignore[type-arg]
    """The name of a page."""

    name = "page"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the pages that begin like this; there is only one to give."""
        return words([] if ctx.params.get("names") else [page.name for page in PAGES], incomplete)


class TargetType(click.ParamType):  # type: ignore[type-arg]
    """A file or module, and perhaps a name in it: `file.py:name`, `package.module:name`; then anything."""

    name = "target"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Have the shell complete the file; behind its colon return the names that the file defines."""
        given = ctx.params.get(param.name or "") or ()
        return targets([given] if isinstance(given, str) else list(given), incomplete)


class SaveType(click.ParamType):  # type: ignore[type-arg]
    """A file that a report can be saved to."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the file's path. Fail for an ending that is not in ENDINGS."""
        from pathlib import Path  # --help does without

        path = Path(value)
        if path.suffix.lower() not in ENDINGS:
            *others, last = ENDINGS
            why = _(
                "'{path}' has no known ending; use {others} or {last}", path=path, others=", ".join(others), last=last
            )
            if path.suffix.lower() == ".png":
                why = _("{why}; for a .png: rsvg-convert x.svg -o x.png", why=why)
            self.fail(why, param, ctx)
        return path

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Have the shell complete the file."""
        return files(incomplete)
