"""The options: how the command line's values are read, and what is said of one that will not do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from relu_demo.session import KERNEL
from relu_demo.views import ENDINGS

SEEDS = -(2**63), 2**64 - 1
"""The lowest and the highest seed that PyTorch takes (PyTorch documentation, `torch.manual_seed`)."""

MOST_ELEMENTS = 2**63 - 1
"""More elements than this PyTorch cannot count."""


class SeedType(click.ParamType):  # type: ignore[type-arg]
    """A whole number that `torch.manual_seed` takes."""

    name = "seed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Fails for anything else, and for a number that PyTorch does not take."""
        lowest, highest = SEEDS
        try:
            seed = int(value)
        except ValueError:
            self.fail(f"'{shorten(value)}' is not a whole number; give one, for example 7", param, ctx)
        if not lowest <= seed <= highest:
            self.fail(
                f"{shorten(value)} is out of PyTorch's range; give a number from {lowest} to {highest}", param, ctx
            )
        return seed


class ShapeType(click.ParamType):  # type: ignore[type-arg]
    """Four whole numbers, N,C,H,W, that a convolution with conv1's kernel can read."""

    name = "shape"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The four sizes. Fails for anything else, and for a tensor that no session can run on."""
        if isinstance(value, tuple):
            return value
        given, instead = f"'{shorten(value)}'", "give N,C,H,W, for example 1,3,5,5"
        try:
            shape = tuple(int(size) for size in value.split(","))
        except ValueError:
            self.fail(f"{given} is not four whole numbers; {instead}", param, ctx)
        if len(shape) != 4:
            self.fail(f"{given} has {len(shape)} numbers and not four; {instead}", param, ctx)
        if min(shape) < 1:
            self.fail(
                f"{given} has {shorten(str(min(shape)))} in it, and every size is at least 1; {instead}", param, ctx
            )
        if min(shape[2:]) < KERNEL:
            least = f"give a height and a width of at least {KERNEL}, for example 1,3,5,5"
            self.fail(f"{given} is smaller than the {KERNEL} by {KERNEL} kernel of conv1; {least}", param, ctx)
        if max(math.prod(shape), shape[1] ** 2 * KERNEL**2) > MOST_ELEMENTS:
            self.fail(f"{given} has more elements than PyTorch can count; {instead}", param, ctx)
        return shape


class SaveType(click.ParamType):  # type: ignore[type-arg]
    """A file that a screen can be saved to."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The file's path. Fails for an ending that is not in ENDINGS."""
        path = Path(value)
        if path.suffix.lower() not in ENDINGS:
            endings = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
            self.fail(
                f"'{shorten(str(path))}' does not say what to save as; give a name that ends in {endings}", param, ctx
            )
        return path


def shorten(value: str) -> str:
    """What somebody typed, cut to a length that fits in one line."""
    return value if len(value) <= 40 else f"{value[:37]}..."


def scenario_flag(name: str, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that picks a scenario and puts its name into `Context.meta`. Two different ones are a usage error."""
    return one_of("scenario", name, help)


def view_flag(name: str, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that picks a view and puts its name into `Context.meta`. Two different ones are a usage error."""
    return one_of("view", name, help)


def one_of(kind: str, name: str, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option of which one of its kind can be given: its name is put into `Context.meta` under `kind`."""

    def pick(context: click.Context, option: click.Parameter, given: bool) -> None:
        if given:
            other = context.meta.setdefault(kind, name[2:])
            if other != name[2:]:
                raise click.UsageError(f"--{other} and {name} are two {kind}s; give one of them", context)

    return click.option(name, name[2:].replace("-", "_"), is_flag=True, expose_value=False, callback=pick, help=help)


def refuse_beside(context: click.Context, option: str, *others: str) -> None:
    """Raises UsageError where the command line gives one of the `others`, by their parameters' names."""
    for other in others:
        if context.get_parameter_source(other) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option} has its own {other}; leave --{other} out", context)


class GroupedCommand(click.Command):
    """A command whose --help shows its options under headings: `headings` has the options' long names by heading."""

    def __init__(self, *args: Any, headings: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.headings = headings

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes a section for each heading."""
        records = {
            option.lstrip("-"): record
            for parameter in self.get_params(ctx)
            if (record := parameter.get_help_record(ctx)) is not None
            for option in parameter.opts
        }
        for heading, names in self.headings.items():
            with formatter.section(heading):
                formatter.write_dl([records[name] for name in names])
