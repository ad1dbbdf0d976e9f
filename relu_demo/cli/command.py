"""The command line: reads the options, has them run, and turns every fault into one line on stderr and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import click

from relu_demo import __version__
from relu_demo.cli.options import (
    GroupedCommand,
    SaveType,
    SeedType,
    ShapeType,
    images,
    readable,
    refuse_arguments,
    refuse_beside,
    refuse_strangers,
    scenario_flag,
    scenario_value,
    view_flag,
)
from relu_demo.cli.run import Showing, check_save, progress_bar, run_scenario
from relu_demo.errors import lacks_memory
from relu_demo.memory.situations import MAX_DEPTH, Options
from relu_demo.network.asked import Asked
from relu_demo.session.article import ARTICLE
from relu_demo.session.article import article as article_session
from relu_demo.session.branches import branches
from relu_demo.session.lines import LISTED, WHOLE, Session, Setup

if TYPE_CHECKING:
    from pathlib import Path

DRAWN = 10_000
"""A seed below this one is drawn where none is given: short enough to be typed again."""

SESSIONS: Mapping[str, Callable[[Setup], Session]] = {
    **{scenario: partial(article_session, scenario) for scenario in ARTICLE},
    "branches": branches,
}
"""The session of each scenario that replays one."""

GOES_WITH = {
    "seed": [*SESSIONS, "check"],
    "dtype": [*SESSIONS, "check"],
    "values": SESSIONS,
    "step": SESSIONS,
    "depth": ["memory"],
    "train": ["check"],
    "traceback": ["check"],
    "article": SESSIONS,
    "repl": SESSIONS,
}
"""The scenarios that an option goes with, by its name. Options that are not here go with all."""

HEADINGS = {
    "What it does (one of these, or none to replay the whole session)": (
        "inplace",
        "no-inplace",
        "compare",
        "branches",
        "memory",
        "check",
    ),
    "What it runs on": ("seed", "shape", "device", "dtype", "article", "depth", "train"),
    "How it is shown": ("json", "repl", "step", "save", "values", "traceback"),
    "Help": ("version", "help"),
}
"""The headings of --help, with the options below each."""

EPILOG = """\b
Exit codes
  0    every claim holds, or this input cannot show it
  1    a claim does not hold with this PyTorch, or --check found a fault
  2    wrong usage or input, or an output that cannot be written
  130  Ctrl-C

\b
Examples
  relu-demo --compare
  relu-demo --inplace --shape 1,1,4,4 --seed 1
  relu-demo --check my_net.py:Net --shape 1,3,224,224 --train
  relu-demo --compare --article --save relu.svg
  relu-demo --inplace --repl > session.txt
  python -W ignore -m doctest session.txt
  relu-demo --compare --json | jq '.parts.in_place.moments.o1_after.zeroed'
"""


def run(arguments: Sequence[str]) -> int:
    """Runs the command with these arguments and gives its exit code. Writes to `sys.stdout` and `sys.stderr`."""
    try:
        code = command.main(list(arguments), prog_name="relu-demo", standalone_mode=False)
    except click.ClickException as error:
        return fault(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        return 130
    except SystemExit as end:  # how click ends shell completion, and --help into a closed pipe
        return end.code if isinstance(end.code, int) else 0
    except OSError as error:
        return fault(f"the output cannot be written: {error.strerror}")
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        return fault("there is not enough memory for this; give a smaller --shape or fewer --values")
    return code if isinstance(code, int) else 0


def fault(message: str) -> int:
    """Says on stderr what is wrong, in one line whatever it quotes. Gives the exit code for it."""
    line = " ".join(message.split())
    readable = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line)
    if sys.stderr is not None:  # print would take standard output instead
        with suppress(OSError):
            print(f"relu-demo: {readable}", file=sys.stderr)
    return 2


@click.command(
    cls=GroupedCommand,
    headings=HEADINGS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "allow_extra_args": True},
)
@scenario_flag("--inplace", "The in-place half.")
@scenario_flag("--no-inplace", "The other half.")
@scenario_flag("--compare", "Both halves side by side, then every claim with its verdict.")
@scenario_flag("--branches", "A network in which two branches read one tensor: both faults, and their cures.")
@scenario_flag("--memory", "Bytes really allocated, in place and not, where it matters.")
@scenario_value(
    "--check", "TARGET", "Your own network, my_net.py:Net or package.module:build: is each inplace=True safe?"
)
@click.option("--seed", type=SeedType(), metavar="N", help="For torch.manual_seed. Without it one is drawn and shown.")
@click.option(
    "--shape",
    "shapes",
    type=ShapeType(),
    multiple=True,
    metavar="N,C,H,W",
    help="The input's shape; the layers have as many channels. For --check one --shape for each input, of any rank."
    "  [default: 1,3,5,5; for --memory 1,16,64,64]",
)
@click.option("--device", metavar="NAME", default=Setup.device, show_default=True, help="Any device of this PyTorch.")
@click.option("--dtype", metavar="NAME", default=Setup.dtype, show_default=True, help="Any floating dtype of it.")
@click.option("--article", is_flag=True, help="The article's own 27 numbers: conv1 is solved for them.")
@click.option(
    "--depth",
    type=click.IntRange(1, MAX_DEPTH),
    metavar="K",
    default=Options.depth,
    show_default=True,
    help="How many blocks --memory chains.",
)
@click.option("--train/--eval", "train", default=None, help="The mode in which --check runs it.  [default: as built]")
@click.option("--traceback", is_flag=True, help="Where a network that --check runs raises, its whole traceback.")
@view_flag("--json", "One JSON document (relu_demo/schema.json describes it).")
@view_flag("--step", "For teaching: waits for a key before each line and shows what it changed.")
@view_flag("--repl", "The session as a >>> transcript. Piped, python -m doctest accepts it.")
@click.option(
    "--save",
    type=SaveType(),
    metavar="FILE",
    help="Put the screen into FILE instead: .svg, .html or .txt, by its ending.",
)
@click.option(
    "--values",
    type=click.IntRange(0),
    metavar="N",
    default=LISTED,
    show_default=True,
    help="List the values of tensors of up to N elements, and a summary of larger ones.",
)
@click.version_option(__version__, "-V", "--version")
@click.pass_context
def command(
    context: click.Context,
    seed: int | None,
    shapes: Sequence[tuple[int, ...]],
    device: str,
    dtype: str,
    article: bool,
    depth: int,
    check: str | None,
    train: bool | None,
    traceback: bool,
    save: Path | None,
    values: int,
) -> int:
    """Shows what nn.ReLU(inplace=True) does to a tensor, by a short PyTorch session that is replayed here and now.

    Every line that is shown is run, and every value beside it is read from the live object.
    """
    refuse_arguments(context)
    scenario, view = context.meta.get("scenario", WHOLE), context.meta.get("view", "tables")
    refuse_strangers(context, scenario, GOES_WITH)
    if article:
        refuse_beside(context, "--article", "shapes", "dtype")
    if view == "step":
        check_stepping()
    if save:
        check_save(save, view)
    show = Showing(view, save and save.absolute(), traceback)  # a network may go to another folder
    seed = drawn() if seed is None else seed
    dtype = dtype.removeprefix("torch.")
    if check is not None:
        asked = Asked(check, tuple(shapes), seed, device, dtype, train)
        return run_scenario(lambda scenarios: scenarios.checked(asked, partial(progress_bar, "Checking")), show)
    shape = images(shapes)
    if scenario == "memory":
        options = memory_options(shape or Options.shape, depth, device)
        return run_scenario(lambda scenarios: scenarios.measured(options, partial(progress_bar, "Measuring")), show)
    session = SESSIONS[scenario](Setup(seed, readable(shape or Setup.shape), device, dtype, article))
    if view == "step":
        return run_scenario(lambda scenarios: scenarios.stepped(session, values, sys.stdout), show)
    return run_scenario(lambda scenarios: scenarios.replayed(session, values), show)


def drawn() -> int:
    """A seed where none is given."""
    import random  # --help does without

    return random.randrange(DRAWN)


def check_stepping() -> None:
    """Raises UsageError where there is no terminal for --step."""
    from relu_demo.machine.terminal import lacks_terminal

    if reason := lacks_terminal():
        raise click.UsageError(f"--step waits for keys on a terminal, and {reason}; leave it out, or use a terminal")


def memory_options(shape: tuple[int, int, int, int], depth: int, device: str) -> Options:
    """What to measure. Raises BadParameter for a shape that no chain can have."""
    try:
        return Options(shape, depth, device)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--shape'") from error
