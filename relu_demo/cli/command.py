"""The four commands: they read the command line, refuse what does not go together, and give what was asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from relu_demo.cli.options import COMMANDS, DEMONSTRATOR, HOW_SHOWN, OPTIONS, WHAT, elsewhere, options_of
from relu_demo.cli.types import pages, targets
from relu_demo.errors import SetupError, nearest
from relu_demo.language import _, enumerated, fold, mark
from relu_demo.request import (
    WHOLE,
    Check,
    Explain,
    Input,
    Measure,
    Replay,
    Request,
    Rules,
    Shape,
    Watch,
    image,
    refuse_shape,
    shell_line,
)
from relu_demo.session.sessions import session_for
from relu_demo.views import COLOURED, TABLES, VIEWS

if TYPE_CHECKING:
    from pathlib import Path

EPILOG = mark("Exit codes: 0 every claim holds; 1 one does not; 2 wrong usage or input.")
EXPLAIN_EPILOG = mark("""\b
NAME is what a finding of check or watch ends with. Without one: the list.

\b
Examples
  relu-demo explain step-before-backward
  relu-demo explain data --step
""")
CHECK_EPILOG = """\b
TARGET is file.py:name or package.module:name: a network, a function that
computes on tensors, or what builds one, my_net.py:build(depth=50). It is
imported, so what stands at the top level of the file runs.

\b
Exit codes
  0  no fault found            2  wrong usage or input
  1  a fault found             3  no fault found, but not all could be watched

\b
Examples
  relu-demo check my_net.py:Net --shape 1,3,224,224 --train
  relu-demo check my_net.py:loss --shape 2,8 --shape 2,8 --json
"""
WATCH_EPILOG = """\b
PROGRAM is a script, -m package.module, a function that takes no arguments
(my_file.py:step), or any command line. All behind it is the program's own.
Not seen: a Python process with -I, -E or -S, and what a custom Function
keeps on ctx itself.

\b
Exit codes
  1  a fault found             2  wrong usage or input
  3  nothing could be watched  else the program's own

\b
Examples
  relu-demo watch train.py --epochs 1
  relu-demo watch -q -m package.train --epochs 1
  relu-demo watch my_file.py:step
  relu-demo watch --save report.json train.py
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
    """A command whose --help shows its options below their headings, in the order of their first appearance."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the line of usage."""
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), prefix=f"{_('Usage:')} ")

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help in the language that is spoken."""
        spoken = copy(self)
        spoken.help, spoken.epilog = _(self.help or ""), _(self.epilog or "").rstrip()
        super(GroupedCommand, spoken).format_help(ctx, formatter)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option for the help."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = _("Show this message and exit.")
        return option

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each heading. click's own options belong to the last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for option in sorted(options, key=lambda each: not hasattr(each, "heading")):
            if (record := option.get_help_record(ctx)) is not None:
                sections.setdefault(getattr(option, "heading", HOW_SHOWN), []).append(record)
        if isinstance(self, click.Group):
            sections[WHAT] += [(f"{name} ...", _(each.short_help or "")) for name, each in self.commands.items()]
        for heading, records in sections.items():
            with formatter.section(_(heading)):
                formatter.write_dl(help_rows(records, formatter.width))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words. Raise UsageError for an option that there is not, and say what it may have meant."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise no_such_option(ctx, error.option_name) from None
        except click.BadOptionUsage as error:
            needless = mark("Option {name!r} does not take a value.")
            missing = mark("Option {name!r} requires an argument.")
            why = needless if "not take" in error.message else missing
            raise click.UsageError(_(why, name=error.option_name)) from None


def help_rows(rows: Sequence[tuple[str, str]], width: int) -> list[tuple[str, str]]:
    """Return the rows of a list, the second words broken into lines where they may be wider than click counts."""
    room = width - max(len(first) for first, _ in rows) - 4  # as `write_dl` has it
    return [(first, second if second.isascii() else "\n".join(["\b", *fold(second, room)])) for first, second in rows]


class Demonstrator(GroupedCommand, click.Group):
    """The command itself, with the three others below it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words, and keep them for `resolve_command`."""
        ctx.meta["words"] = tuple(args)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named. Raise UsageError for any other word, and say what it may have meant."""
        if not ctx.resilient_parsing:
            words = ctx.meta["words"]
            before = [word for word in words[: len(words) - len(args)] if word != "--"]
            if args[0] not in self.commands:
                raise click.UsageError(meant(ctx, args))
            if before:
                right = shell_line(args[0], *before, *args[1:])
                raise click.UsageError(_("options go behind {command}; give {right}", command=args[0], right=right))
        return super().resolve_command(ctx, args)


@click.group(
    cls=Demonstrator,
    params=options_of(*DEMONSTRATOR),
    help=mark("See what nn.ReLU(inplace=True) does to your tensor. Every line really runs."),
    epilog=EPILOG,
    invoke_without_command=True,
    subcommand_metavar="[explain | check | watch ...]",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.pass_context
def command(
    context: click.Context,
    /,
    seed: int,
    shapes: Sequence[Input],
    device: str,
    dtype: str,
    article: bool,
    depth: int,
    values: int,
    evidence: bool,
    part: str,
    **output: Any,
) -> Asked | None:
    """Return what the command line asks of the demonstrator; None where it asks another command."""
    if context.invoked_subcommand is not None:
        return None
    scenario = context.meta.get("scenario", WHOLE)
    refuse_strangers(context, scenario)
    if article:
        refuse_own_numbers(context)
    dtype = dtype.removeprefix("torch.")
    request: Request
    if scenario == Measure.scenario:
        request = Measure(only(shapes) or Measure.shape, depth, device)
    else:
        request = Replay(scenario, seed, only(shapes) or Replay.shape, device, dtype, article, values, evidence, part)
        session_for(request)  # raises for a part that it has not
    return asked(context, request, **output)


@command.command(
    Explain.scenario,
    cls=GroupedCommand,
    params=[click.Argument(["names"], shell_complete=pages, metavar="[NAME]", nargs=-1), *options_of(Explain.scenario)],
    epilog=EXPLAIN_EPILOG,
    help=mark("Replay a fault that check and watch can name, and its cure. Without NAME: list all."),
    short_help=mark("Each fault that check and watch can name, in a few lines."),
)
@click.pass_context
def explain_command(
    context: click.Context, /, names: tuple[str, ...], seed: int, evidence: bool, **output: Any
) -> Asked:
    """Return what the command line asks of `explain`."""
    if len(names) > 1:
        told = {"n": len(names), "names": " ".join(names)}
        raise click.UsageError(_("explain takes one name, not {n} ({names})", **told))
    view = context.meta.get("view", TABLES)
    request: Explain | Rules = Rules()
    if names:
        request = Explain(names[0], seed, evidence)
        session_for(request)  # raises for a name that there is not
    elif (seeded := is_given(context, "seed")) or VIEWS[view].sessions_only:
        words = ["--seed", str(seed)] if seeded else [f"--{view}"]
        told = {"option": words[0], "example": shell_line("explain", "leaf", *words)}
        why = _("{option} goes with one fault, and none is named; give for example {example}", **told)
        raise click.UsageError(why)
    return asked(context, request, **output)


@command.command(
    Check.scenario,
    cls=GroupedCommand,
    params=[
        click.Argument(["target"], shell_complete=targets, metavar="TARGET", nargs=-1),
        *options_of(Check.scenario),
    ],
    epilog=CHECK_EPILOG,
    short_help=mark("Is each write in place in your own network safe?"),
)
@click.pass_context
def check_command(
    context: click.Context,
    /,
    target: tuple[str, ...],
    seed: int,
    shapes: Sequence[Input],
    device: str,
    dtype: str,
    train: bool | None,
    every_call: bool,
    **output: Any,
) -> Asked:
    """Is each write in place in your own network safe? Each suspect is tried alone, with the others off."""
    if not target:
        example = shell_line("check", "my_net.py:Net", "--shape", "1,3,8,8")
        raise click.UsageError(f"check takes a network; give for example {example}")
    if len(target) > 1:
        raise click.UsageError(f"check takes one network, not {len(target)} ({' '.join(target)})")
    dtype = dtype.removeprefix("torch.")
    request = Check(target[0], tuple(shapes), seed, device, dtype, train, every_call)
    return asked(context, request, **output)


@command.command(
    Watch.scenario,
    cls=GroupedCommand,
    params=[
        click.Argument(["program"], shell_complete=targets, metavar="PROGRAM [ARG]...", nargs=-1),
        *options_of(Watch.scenario),
    ],
    epilog=WATCH_EPILOG,
    short_help=mark('PyTorch says "modified by an inplace operation": which lines?'),
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)
@click.pass_context
def watch_command(context: click.Context, /, program: tuple[str, ...], trying: bool, **output: Any) -> Asked:
    """Run your own program as it is: which lines overwrite what a backward needs, and the cure."""
    if not program:
        raise click.UsageError(f"watch takes a program; give for example {shell_line('watch', 'train.py')}")
    if program[0].startswith("-") and program[0] != "-m":
        raise no_such_option(context, program[0])
    return asked(context, Watch(program, trying), **output)


def asked(context: click.Context, request: Request, save: Path | None, light: bool, traceback: bool = True) -> Asked:
    """Return what is asked. Raise UsageError or SetupError where the report cannot be shown or saved like that.

    The file to save to is told from the root on: a network may go to another folder.
    """
    view = context.meta.get("view", TABLES)
    if view == "step" and save is None:
        require_terminal()
    if light:
        require_colours(save)
    if save:
        require_place(save, view)
    return Asked(request, view, save and save.absolute(), light, traceback)


def no_such_option(context: click.Context, name: str) -> click.UsageError:
    """Return the error for an option that a command has not: it names those that have it, or the nearest option."""
    if others := elsewhere(name):
        told = {"name": name, "command": context.info_name, "others": enumerated(others)}
        return click.UsageError(_("{name} does not go with {command}; it goes with {others}", **told))
    if name[2:] in getattr(context.command, "commands", ()):
        words = filter(None, (word.removeprefix(name).removeprefix("=") for word in context.meta["words"]))
        told = {"name": name, "line": shell_line(name[2:], *words)}
        return click.UsageError(_("{name} is a command; give {line}", **told))
    if near := nearest(name, [each for parameter in context.command.get_params(context) for each in parameter.opts]):
        return click.UsageError(_("there is no option {name!r}; did you mean {near}?", name=name, near=near))
    told = {"name": name, "command": context.command_path}
    return click.UsageError(_("there is no option {name!r}; {command} --help lists all", **told))


def meant(context: click.Context, words: Sequence[str]) -> str:
    """Return what to say of words of which the first names no command."""
    word, before = words[0], context.meta["words"][-len(words) - 1 : -len(words)]
    if word.lower() in ("true", "false") and before in (("--inplace",), ("--no-inplace",)):
        right = "--inplace" if (word.lower() == "true") == (before == ("--inplace",)) else "--no-inplace"
        return _("{name} takes no value; give {right}", name=before[0], right=right)
    source, colon, name = word.rpartition(":")
    if colon and source and name.isidentifier():
        lines = {"check": shell_line("check", *words), "watch": shell_line("watch", *words)}
        return _("{word} alone is no command; give {check} or {watch}", word=word, **lines)
    if word.endswith(".py") or os.path.isfile(word):
        return _("{word} alone is no command; give {line}", word=word, line=shell_line("watch", *words))
    options = (name for each in context.command.params for name in each.opts if name.startswith("--"))
    known = {**{name[2:]: name for name in options}, **dict(zip(COMMANDS, COMMANDS, strict=True))}
    if near := nearest(word, known):
        return _("there is no command {word!r}; did you mean {hint}?", word=word, hint=known[near])
    return _("there is no command {word!r}; relu-demo --help lists all", word=word)


def only(given: Sequence[Input]) -> Shape | None:
    """Return the one shape N,C,H,W that was given, None without one. Raise SetupError for two, or another rank."""
    if len(given) > 1:
        refuse_shape(given[1].shape, mark("'{shape}' is a second shape, but there is only one input; give one"))
    for each in given:
        if each != Input(each.shape):
            why = mark("'{input}' is for relu-demo check; give the sizes alone, {shape}")
            refuse_shape(each.shape, why, input=each)
    return image(given[0].shape) if given else None


def is_given(context: click.Context, name: str | None) -> bool:
    """Return whether the option of that name stands on the command line."""
    return context.get_parameter_source(name or "") is ParameterSource.COMMANDLINE


def refuse_strangers(context: click.Context, scenario: str) -> None:
    """Raise UsageError where an option was given that does not go with the scenario."""
    for option in OPTIONS:
        if option.goes_with is not None and scenario not in option.goes_with and is_given(context, option.name):
            others = [f"--{other}" for other in option.goes_with if other in DEMONSTRATOR and other != WHOLE]
            here = mark("the session") if scenario == WHOLE else f"--{scenario}"
            either = reduce(lambda some, last: mark("{some} or {last}", some=some, last=last), others)
            told = {"option": option.opts[0], "here": here, "others": either}
            raise click.UsageError(_("{option} does not go with {here}; it goes with {others}", **told))


def refuse_own_numbers(context: click.Context) -> None:
    """Raise UsageError where --article stands beside what its numbers have of their own."""
    for parameter, what in (("shapes", "shape"), ("dtype", "dtype")):
        if is_given(context, parameter):
            told = {"option": "--article", "what": what, "name": f"--{what}"}
            raise click.UsageError(_("{option} has its own {what}; leave {name} out", **told))


def require_terminal() -> None:
    """Raise UsageError where there is no terminal for --step."""
    from relu_demo.machine.terminal import lacks_terminal

    if reason := lacks_terminal():
        why = mark("--step waits for keys on a terminal, and {reason}; leave it out, or use a terminal")
        raise click.UsageError(_(why, reason=reason))


def require_place(save: Path, view: str) -> None:
    """Raise UsageError where the view cannot be saved, and SetupError where that file cannot be written."""
    from relu_demo.cli.output import check_place

    if VIEWS[view].lessons and save.suffix.lower() not in COLOURED:
        why = mark("--{view} is saved as a page or a moving picture; give a file that ends in .html or .svg")
        raise click.UsageError(_(why, view=view))
    if not (VIEWS[view].screen or VIEWS[view].lessons):
        why = mark("--{view} has no screen to save; give --save without it, or --{view} > FILE")
        raise click.UsageError(_(why, view=view))
    try:
        check_place(save)
    except OSError as error:
        why = mark("'{file}' cannot be written ({why}); give a file in a folder that you can write to")
        raise SetupError("--save", _(why, file=save, why=error.strerror)) from error


def require_colours(save: Path | None) -> None:
    """Raise UsageError where --light has no picture to draw on white."""
    if save is None:
        raise click.UsageError(_("--light goes with --save; give for example --save screen.svg --light"))
    if save.suffix.lower() not in COLOURED:
        why = mark("--light colours a picture, and {ending} has no colours; save as .svg or .html")
        raise click.UsageError(_(why, ending=save.suffix))
