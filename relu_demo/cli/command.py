"""The command: reads the command line, refuses what does not go together, and gives what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from relu_demo import __version__
from relu_demo.cli.completion import networks_in_bash
from relu_demo.cli.options import OPTIONS
from relu_demo.errors import SetupError
from relu_demo.request import (
    WHOLE,
    Check,
    Input,
    Measure,
    Replay,
    Request,
    Shape,
    Watch,
    drawn_seed,
    image,
    refuse_shape,
    sizes,
)
from relu_demo.views import DOCUMENT, PLAIN, TABLES, VIEWS

if TYPE_CHECKING:
    from pathlib import Path

    from click.shell_completion import CompletionItem

EPILOG = """\b
Exit codes
  0    every claim holds, or this input cannot show it; --check found no fault
  1    a claim does not hold with this PyTorch; --check found a fault
  2    wrong usage or input, or the output cannot be written
  3    --check found no fault, and could not watch all
  130  you pressed Ctrl-C
  --watch: the program's own exit code, but 1 where a fault was found

\b
Examples
  relu-demo --compare
  relu-demo --inplace --shape 1,1,4,4 --seed 1
  relu-demo --check my_net.py:Net --shape 1,3,224,224 --train
  relu-demo --watch train.py -- --epochs 1
  relu-demo --compare --article --save relu.svg
  relu-demo --inplace --repl > session.txt
  python -W ignore -m doctest session.txt
  relu-demo --compare --json | jq '.parts.in_place.moments.o1_after.zeroed'
"""


@dataclass(frozen=True)
class Asked:
    """What the command line asks: the request, and how its report is shown.

    It is shown in the view of that name, on standard output or saved to a file, which is drawn on white if `light`.
    With `traceback` an error that the user's own network raises is shown with its full traceback.
    """

    request: Request
    view: str
    save: Path | None
    light: bool
    traceback: bool


class GroupedCommand(click.Command):
    """A command whose --help shows its options below their headings, in the order of their first appearance.

    It also completes the name of a network where bash has cut it off.
    """

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each heading. An option without one belongs to the help."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                sections.setdefault(getattr(parameter, "heading", "Help"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return how a word that is no option's value goes on."""
        return networks_in_bash(ctx.params, ctx.args, incomplete) or super().shell_complete(ctx, incomplete)


@click.version_option(__version__, "-V", "--version")
@click.command(
    cls=GroupedCommand,
    params=list(OPTIONS),
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "allow_extra_args": True},
)
@click.pass_context
def command(
    context: click.Context,
    seed: int | None,
    shapes: Sequence[Input],
    device: str,
    dtype: str,
    article: bool,
    depth: int,
    check: str | None,
    watch: str | None,
    train: bool | None,
    every_call: bool,
    traceback: bool,
    save: Path | None,
    light: bool,
    values: int,
    evidence: bool,
) -> Asked:
    """See what nn.ReLU(inplace=True) does to your tensor, and how plain nn.ReLU() differs.

    A short PyTorch session is run: every line that you see was executed, and every value beside it was read from the
    live object.
    """
    scenario, view = context.meta.get("scenario", WHOLE), context.meta.get("view", TABLES)
    if watch is None:
        refuse_arguments(context)
    refuse_strangers(context, scenario)
    if article:
        refuse_beside(context, "--article", "shapes", "dtype")
    if view == "step":
        require_terminal()
    if light:
        require_colours(save)
    if save:
        require_place(save, view)
        refuse_document(save, scenario)
        save = save.absolute()  # a network may go to another folder
    seed = drawn_seed() if seed is None else seed
    dtype = dtype.removeprefix("torch.")
    request: Request
    if watch is not None:
        request = Watch(watch, tuple(context.args))
    elif check is not None:
        request = Check(check, tuple(shapes), seed, device, dtype, train, every_call)
    elif scenario == Measure.scenario:
        by_depth = context.get_parameter_source("depth") is not ParameterSource.DEFAULT
        request = Measure(only(shapes) or Measure.shape, depth, device, by_depth)
    else:
        request = Replay(scenario, seed, only(shapes) or Replay.shape, device, dtype, article, values, evidence)
    return Asked(request, view, save, light, traceback)


def only(given: Sequence[Input]) -> Shape | None:
    """Return the one shape N,C,H,W that was given, None without one. Raise SetupError for two, or another rank."""
    if len(given) > 1:
        refuse_shape(given[1].sizes, "is a second shape, but there is only one input; give one")
    for each in given:
        if each != Input(each.sizes):
            raise SetupError("--shape", f"'{each}' is for --check; give the sizes alone, {sizes(each.sizes)}")
    return image(given[0].sizes) if given else None


def refuse_arguments(context: click.Context) -> None:
    """Raise UsageError where there are words that belong to no option, with the option that the first may have meant.

    click does so by itself, but does not know that they are options without their dashes.
    """
    if context.args:
        options = {name for parameter in context.command.params for name in parameter.opts}
        meant = [f"; did you mean --{word}?" for word in context.args if f"--{word}" in options]
        words = f"argument{'s' if len(context.args) > 1 else ''} ({' '.join(context.args)})"
        raise click.UsageError(f"Got unexpected extra {words}{meant[0] if meant else ''}", context)


def is_given(context: click.Context, parameter: click.Parameter) -> bool:
    """Return whether an option stands on the command line."""
    return context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE


def refuse_strangers(context: click.Context, scenario: str) -> None:
    """Raise UsageError where an option was given that does not go with the scenario."""
    for option in OPTIONS:
        if option.goes_with is not None and scenario not in option.goes_with and is_given(context, option):
            others = " or ".join(f"--{other}" for other in option.goes_with if other != WHOLE)
            here = "the session" if scenario == WHOLE else f"--{scenario}"
            raise click.UsageError(f"{option.opts[0]} does not go with {here}; it goes with {others}")


def refuse_beside(context: click.Context, option: str, *others: str) -> None:
    """Raise UsageError where the command line gives one of the `others`, by their parameters' names."""
    for parameter in context.command.params:
        if parameter.name in others and is_given(context, parameter):
            name = parameter.opts[0]
            raise click.UsageError(f"{option} has its own {name[2:]}; leave {name} out", context)


def refuse_document(save: Path, scenario: str) -> None:
    """Raise BadParameter for a file of JSON where the scenario has a view for that."""
    if save.suffix.lower() == DOCUMENT and scenario != Watch.scenario:
        raise click.BadParameter(f"'{save}' is for --watch; give --json > {save}", param_hint="'--save'")


def require_terminal() -> None:
    """Raise UsageError where there is no terminal for --step."""
    from relu_demo.machine.terminal import lacks_terminal

    if reason := lacks_terminal():
        raise click.UsageError(f"--step waits for keys on a terminal, and {reason}; leave it out, or use a terminal")


def require_place(save: Path, view: str) -> None:
    """Raise UsageError where the view has no screen, and BadParameter where its file cannot be written."""
    from relu_demo.cli.output import check_place

    if not VIEWS[view].has_screen:
        raise click.UsageError(f"--{view} has no screen to save; give --save without it, or --{view} > FILE")
    try:
        check_place(save)
    except OSError as error:
        message = f"'{save}' cannot be written ({error.strerror}); give a file in a folder that you can write to"
        raise click.BadParameter(message, param_hint="'--save'") from error


def require_colours(save: Path | None) -> None:
    """Raise UsageError where --light has no picture to draw on white."""
    if save is None:
        raise click.UsageError("--light goes with --save; give for example --save screen.svg --light")
    if save.suffix.lower() == PLAIN:
        raise click.UsageError(f"--light colours a picture, and a {PLAIN} file has no colours; save as .svg or .html")
