"""The options: the table that declares each once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import click

from relu_demo.cli.types import InputType, NameType, SaveType, SeedType, TargetType
from relu_demo.request import LISTED, MAX_DEPTH, Measure, Replay
from relu_demo.session.sessions import SESSIONS
from relu_demo.views import TABLES, VIEWS


class Option(click.Option):
    """An option under its `heading` in --help. It goes with the scenarios in `goes_with`; with all if that is None.

    One that `picks` a scenario or a view puts its name into `Context.meta` under that word.
    """

    def __init__(
        self, *args: Any, heading: str, goes_with: Collection[str] | None = None, picks: str = "", **kwargs: Any
    ) -> None:
        if picks:
            kwargs["callback"] = self.pick
        super().__init__(*args, **kwargs)
        self.heading = heading
        self.goes_with = goes_with
        self.picks = picks

    def pick(self, context: click.Context, option: click.Parameter, given: Any) -> Any:
        """Put the name of a given option into `Context.meta`. Raise UsageError for a second one of its kind."""
        if given not in (None, False):
            name = self.opts[-1][2:]
            other = context.meta.setdefault(self.picks, name)
            if other != name:
                raise click.UsageError(f"--{other} and --{name} are two {self.picks}s; give one of them", context)
        return given


def scenario(name: str, help: str, **more: Any) -> Option:
    """Return an option that picks a scenario: a flag, or with a `metavar` one that takes a value."""
    flag: dict[str, Any] = {} if "metavar" in more else {"is_flag": True, "expose_value": False}
    heading = "What it does (give one of these, or none)"
    return Option([name], heading=heading, picks="scenario", help=help, **flag, **more)


def runs_on(*names: str, **more: Any) -> Option:
    """Return an option that says what the scenario runs on."""
    return Option(names, heading="What it runs on", **more)


def view(name: str) -> Option:
    """Return the flag that picks the view of that name."""
    form = VIEWS[name]
    goes_with = SESSIONS if form.sessions_only else None
    flag: dict[str, Any] = {"is_flag": True, "expose_value": False}
    return shown(*form.short, f"--{name}", picks="view", help=form.help, goes_with=goes_with, **flag)


def shown(*names: str, **more: Any) -> Option:
    """Return an option that says how the report is shown."""
    return Option(names, heading="How it is shown", **more)


def print_schema(context: click.Context, option: click.Parameter, given: bool) -> None:
    """Print the schema of the JSON document, and end, if --schema is given."""
    if given and not context.resilient_parsing:
        from relu_demo.views.json import schema

        click.echo(schema(), nl=False)
        context.exit()


OPTIONS = (
    scenario("--inplace", "Only the half with inplace=True."),
    scenario("--no-inplace", "Only the half with inplace=False."),
    scenario("--compare", "Both halves side by side, then every claim with its verdict."),
    scenario("--branches", "A network in which two branches read one tensor: three faults and their cures."),
    scenario("--memory", "Measure the memory that in-place really saves."),
    scenario(
        "--check",
        "Check your own network, my_net.py:Net or package.module:build(50): is each write in place in it safe?",
        metavar="TARGET",
        type=TargetType(),
    ),
    scenario(
        "--watch",
        "Run your own script, module or function, train.py -- ARGS: which lines overwrite what a backward needs?",
        metavar="TARGET",
    ),
    runs_on(
        "--seed",
        type=SeedType(),
        metavar="N",
        goes_with=(*SESSIONS, "memory", "check"),
        help="Random seed: the same seed gives the same numbers.  [default: drawn, and shown]",
    ),
    runs_on(
        "--shape",
        "shapes",
        type=InputType(),
        multiple=True,
        metavar="N,C,H,W",
        goes_with=(*SESSIONS, "memory", "check"),
        help="Shape of the random input; the layers have as many channels. With --check, give one --shape for each "
        "input, with as many sizes as it needs: 2,3,8,8, or 2,16:0..999 for whole numbers from 0 to 999, or "
        "mask=2,16:bool for a keyword argument.  [default: 1,3,5,5; with --memory 1,16,64,64]",
    ),
    runs_on(
        "--device",
        metavar="NAME",
        type=NameType("cpu", "cuda", "mps", "meta"),
        default=Replay.device,
        show_default=True,
        goes_with=(*SESSIONS, "memory", "check"),
        help="Device to run on, for example cuda:0.",
    ),
    runs_on(
        "--dtype",
        metavar="NAME",
        type=NameType("float32", "float64", "bfloat16", "float16"),
        default=Replay.dtype,
        show_default=True,
        goes_with=(*SESSIONS, "check"),
        help="Any floating-point dtype that this PyTorch has.",
    ),
    runs_on(
        "--article",
        is_flag=True,
        goes_with=SESSIONS,
        help="Use the article's own 27 numbers: conv1's weights are chosen to reproduce them.",
    ),
    runs_on(
        "--depth",
        type=click.IntRange(1, MAX_DEPTH),
        metavar="K",
        default=Measure.depth,
        show_default=True,
        goes_with=("memory",),
        help="Number of blocks in each network that --memory measures.",
    ),
    runs_on(
        "--train/--eval",
        default=None,
        goes_with=("check",),
        help="Run the checked network in training or evaluation mode.  [default: as it was built]",
    ),
    shown(
        "--all",
        "every_call",
        is_flag=True,
        goes_with=("check",),
        help="With --check: list every call, the safe ones too.",
    ),
    *(view(name) for name in VIEWS if name != TABLES),
    shown(
        "--save",
        type=SaveType(),
        metavar="FILE",
        help="Save the screen to FILE, which ends in .svg, .html or .txt, instead of printing it.",
    ),
    shown("--light", is_flag=True, help="With --save: dark on white, for print and slides."),
    shown(
        "--values",
        type=click.IntRange(0),
        metavar="N",
        default=LISTED,
        show_default=True,
        goes_with=SESSIONS,
        help="List all values of tensors of up to N elements; summarise larger ones.",
    ),
    shown(
        "--evidence",
        is_flag=True,
        goes_with=SESSIONS,
        help="Show each claim with all of its evidence.",
    ),
    shown(
        "--traceback",
        is_flag=True,
        help="Show the full traceback if the checked network raises, or relu-demo itself does.",
    ),
    Option(
        ["--schema"],
        heading="Help",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=print_schema,
        help="Print the JSON Schema of the --json document and exit.",
    ),
)
"""Every option but --version and --help, in the order of --help."""
