"""The options: how the command line's values are read, and what is said of one that will not do."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from relu_demo.request import sizes
from relu_demo.session.lines import KERNEL, WHOLE
from relu_demo.views import ENDINGS

if TYPE_CHECKING:
    from pathlib import Path

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
    """The sizes of a tensor: whole numbers of at least 1 between commas."""

    name = "shape"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The sizes. Fails for anything else, and for more elements than PyTorch can count."""
        if isinstance(value, tuple):
            return value
        given = f"'{shorten(value)}'"
        try:
            shape = tuple(int(size) for size in value.split(","))
        except ValueError:
            self.fail(f"{given} is not whole numbers between commas; give for example 1,3,5,5", param, ctx)
        if min(shape) < 1:
            why = f"has {shorten(str(min(shape)))} in it, and every size is at least 1"
            self.fail(f"{given} {why}; give for example 1,3,5,5", param, ctx)
        if math.prod(shape) > MOST_ELEMENTS:
            self.fail(f"{given} has more elements than PyTorch can count; give a smaller shape", param, ctx)
        return shape


def images(shapes: Sequence[tuple[int, ...]]) -> tuple[int, int, int, int] | None:
    """The one shape N,C,H,W that was given, None without one. Raises BadParameter for several, or for another rank."""
    if not shapes:
        return None
    if len(shapes) > 1:
        raise bad_shape(shapes[1], "is a second shape, and there is one input; give one")
    if len(shapes[0]) != 4:
        raise bad_shape(shapes[0], f"has {len(shapes[0])} numbers and not four; give N,C,H,W, for example 1,3,5,5")
    batch, channels, height, width = shapes[0]
    return batch, channels, height, width


def readable(shape: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The shape. Raises BadParameter where conv1's kernel does not fit into it, or conv1 would be too large."""
    if min(shape[2:]) < KERNEL:
        least = f"give a height and a width of at least {KERNEL}, for example 1,3,5,5"
        raise bad_shape(shape, f"is smaller than the {KERNEL} by {KERNEL} kernel of conv1; {least}")
    if shape[1] ** 2 * KERNEL**2 > MOST_ELEMENTS:
        raise bad_shape(shape, "makes a layer of more elements than PyTorch can count; give fewer channels")
    return shape


def bad_shape(shape: tuple[int, ...], why: str) -> click.BadParameter:
    """The usage error for a shape."""
    return click.BadParameter(f"'{shorten(sizes(shape))}' {why}", param_hint="'--shape'")


def refuse_arguments(context: click.Context) -> None:
    """Raises UsageError where there are words that belong to no option, with the option that the first may have meant.

    click does so by itself, but does not know that they are options without their dashes.
    """
    if context.args:
        options = {name for parameter in context.command.params for name in parameter.opts}
        meant = [f"; did you mean --{word}?" for word in context.args if f"--{word}" in options]
        words = f"argument{'s' if len(context.args) > 1 else ''} ({' '.join(context.args)})"
        raise click.UsageError(f"Got unexpected extra {words}{meant[0] if meant else ''}", context)


def refuse_strangers(context: click.Context, scenario: str, goes_with: Mapping[str, Collection[str]]) -> None:
    """Raises UsageError where an option was given that does not go with the scenario. `goes_with` has those that do."""
    for name, scenarios in goes_with.items():
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and scenario not in scenarios:
            others = " or ".join(f"--{other}" for other in scenarios if other != WHOLE)
            here = "the session" if scenario == WHOLE else f"--{scenario}"
            raise click.UsageError(f"--{name} does not go with {here}; it goes with {others}")


class SaveType(click.ParamType):  # type: ignore[type-arg]
    """A file that a screen can be saved to."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The file's path. Fails for an ending that is not in ENDINGS."""
        from pathlib import Path  # --help does without

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
    return click.option(name, name[2:].replace("-", "_"), is_flag=True, expose_value=False, callback=pick, help=help)


def scenario_value(name: str, metavar: str, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that picks a scenario and has a value."""
    return click.option(name, metavar=metavar, callback=pick, help=help)


def view_flag(name: str, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that picks a view and puts its name into `Context.meta`. Two different ones are a usage error."""
    view = partial(pick, kind="view")
    return click.option(name, name[2:], is_flag=True, expose_value=False, callback=view, help=help)


def pick(context: click.Context, option: click.Parameter, given: Any, kind: str = "scenario") -> Any:
    """Puts the name of a given option into `Context.meta` under its kind. Raises UsageError for a second one."""
    if given not in (None, False):
        name = option.opts[0]
        other = context.meta.setdefault(kind, name[2:])
        if other != name[2:]:
            raise click.UsageError(f"--{other} and {name} are two {kind}s; give one of them", context)
    return given


def refuse_beside(context: click.Context, option: str, *others: str) -> None:
    """Raises UsageError where the command line gives one of the `others`, by their parameters' names."""
    for other in others:
        if context.get_parameter_source(other) is ParameterSource.COMMANDLINE:
            name = next(parameter.opts[0] for parameter in context.command.params if parameter.name == other)
            raise click.UsageError(f"{option} has its own {name[2:]}; leave {name} out", context)


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
