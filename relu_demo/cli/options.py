"""The options: the types of their values, and the table that declares each once."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from relu_demo.request import LISTED, MAX_DEPTH, MOST_ELEMENTS, Measure, Replay
from relu_demo.session.sessions import SESSIONS
from relu_demo.views import ENDINGS, TABLES, VIEWS

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = -(2**63), 2**64 - 1
"""The lowest and the highest seed that PyTorch takes (PyTorch documentation, `torch.manual_seed`)."""


class SeedType(click.ParamType):  # type: ignore[type-arg]
    """A whole number that `torch.manual_seed` takes."""

    name = "seed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number. Fail for anything else, and for a number that PyTorch does not take."""
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
        """Return the sizes. Fail for anything else, and for more elements than PyTorch can count."""
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


class SaveType(click.ParamType):  # type: ignore[type-arg]
    """A file that a screen can be saved to."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the file's path. Fail for an ending that is not in ENDINGS."""
        from pathlib import Path  # --help does without

        path = Path(value)
        if path.suffix.lower() not in ENDINGS:
            endings = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
            self.fail(
                f"'{shorten(str(path))}' does not say what to save as; give a name that ends in {endings}", param, ctx
            )
        return path


def shorten(value: str) -> str:
    """Return what somebody typed, cut to a length that fits in one line."""
    return value if len(value) <= 40 else f"{value[:37]}..."


class Option(click.Option):
    """An option under its `heading` in --help. It goes with the scenarios in `goes_with`; with all if that is None.

    One that `picks` a scenario or a view puts its name into `Context.meta` under that word.
    """

    def __init__(
        self, *args: Any, heading: str, goes_with: Collection[str] | None = None, picks: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, callback=self.pick if picks else None, **kwargs)
        self.heading = heading
        self.goes_with = goes_with
        self.picks = picks

    def pick(self, context: click.Context, option: click.Parameter, given: Any) -> Any:
        """Put the name of a given option into `Context.meta`. Raise UsageError for a second one of its kind."""
        if given not in (None, False):
            name = self.opts[0][2:]
            other = context.meta.setdefault(self.picks, name)
            if other != name:
                raise click.UsageError(f"--{other} and --{name} are two {self.picks}s; give one of them", context)
        return given


def scenario(name: str, help: str, **more: Any) -> Option:
    """Return an option that picks a scenario: a flag, or with a `metavar` one that takes a value."""
    flag: dict[str, Any] = {} if "metavar" in more else {"is_flag": True, "expose_value": False}
    heading = "What it does (one of these, or none to replay the whole session)"
    return Option([name], heading=heading, picks="scenario", help=help, **flag, **more)


def runs_on(*names: str, **more: Any) -> Option:
    """Return an option that says what the scenario runs on."""
    return Option(names, heading="What it runs on", **more)


def view(name: str) -> Option:
    """Return the flag that picks the view of that name."""
    goes_with = SESSIONS if VIEWS[name].sessions_only else None
    flag: dict[str, Any] = {"is_flag": True, "expose_value": False}
    return shown(f"--{name}", picks="view", help=VIEWS[name].help, goes_with=goes_with, **flag)


def shown(name: str, **more: Any) -> Option:
    """Return an option that says how the report is shown."""
    return Option([name], heading="How it is shown", **more)


OPTIONS = (
    scenario("--inplace", "The in-place half."),
    scenario("--no-inplace", "The other half."),
    scenario("--compare", "Both halves side by side, then every claim with its verdict."),
    scenario("--branches", "A network in which two branches read one tensor: both faults, and their cures."),
    scenario("--memory", "Bytes really allocated, in place and not, where it matters."),
    scenario(
        "--check",
        "Your own network, my_net.py:Net or package.module:build: is each inplace=True safe?",
        metavar="TARGET",
    ),
    runs_on(
        "--seed",
        type=SeedType(),
        metavar="N",
        goes_with=(*SESSIONS, "check"),
        help="For torch.manual_seed. Without it one is drawn and shown.",
    ),
    runs_on(
        "--shape",
        "shapes",
        type=ShapeType(),
        multiple=True,
        metavar="N,C,H,W",
        help="The input's shape; the layers have as many channels. For --check one --shape for each input, of any rank."
        "  [default: 1,3,5,5; for --memory 1,16,64,64]",
    ),
    runs_on("--device", metavar="NAME", default=Replay.device, show_default=True, help="Any device of this PyTorch."),
    runs_on(
        "--dtype",
        metavar="NAME",
        default=Replay.dtype,
        show_default=True,
        goes_with=(*SESSIONS, "check"),
        help="Any floating dtype of it.",
    ),
    runs_on(
        "--article",
        is_flag=True,
        goes_with=SESSIONS,
        help="The article's own 27 numbers: conv1 is solved for them.",
    ),
    runs_on(
        "--depth",
        type=click.IntRange(1, MAX_DEPTH),
        metavar="K",
        default=Measure.depth,
        show_default=True,
        goes_with=("memory",),
        help="How many blocks --memory chains.",
    ),
    runs_on(
        "--train/--eval",
        default=None,
        goes_with=("check",),
        help="The mode in which --check runs it.  [default: as built]",
    ),
    *(view(name) for name in VIEWS if name != TABLES),
    shown(
        "--save",
        type=SaveType(),
        metavar="FILE",
        help="Put the screen into FILE instead: .svg, .html or .txt, by its ending.",
    ),
    shown(
        "--values",
        type=click.IntRange(0),
        metavar="N",
        default=LISTED,
        show_default=True,
        goes_with=SESSIONS,
        help="List the values of tensors of up to N elements, and a summary of larger ones.",
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
        goes_with=("check",),
        help="Where a network that --check runs raises, its whole traceback.",
    ),
)
"""Every option but those of help, in the order of --help."""
