"""The options: the table that declares each once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import copy
from typing import Any

import click

from relu_demo import __version__
from relu_demo.cli.types import file_read, files, input_read, language_read, number_read, parts, usual
from relu_demo.language import LANGUAGES, _, mark
from relu_demo.request import LISTED, MAX_DEPTH, Check, Explain, Measure, Replay, Watch, drawn_seed
from relu_demo.session.sessions import SESSIONS
from relu_demo.views import TABLES, VIEWS

WHAT, HOW_SHOWN = mark("What it does (give one of these, or none)"), mark("How it is shown")
"""The first and the last heading of --help."""

DEMONSTRATOR = (*SESSIONS, Measure.scenario)
TOOLS = (Check.scenario, Watch.scenario)
"""The scenarios of the command itself, and those that run on the user's code."""

COMMANDS = (Explain.scenario, *TOOLS)
"""All that are a command of their own."""


class Option(click.Option):
    """An option under its `heading` in --help. It goes with the scenarios in `goes_with`; with all if that is None.

    One that `picks` a scenario or a view puts its name into `Context.meta` under that word. `differs` has, for a
    scenario with a command of its own, what is another there: `{"check": {"help": ...}}`.
    """

    def __init__(
        self,
        *args: Any,
        heading: str,
        goes_with: Collection[str] | None = None,
        picks: str = "",
        differs: Mapping[str, Mapping[str, str]] | None = None,
        **kwargs: Any,
    ) -> None:
        if picks:
            kwargs["callback"] = self.pick
        super().__init__(*args, **kwargs)
        self.help = kwargs["help"]  # click keeps a plain copy
        self.heading = heading
        self.goes_with = goes_with
        self.picks = picks
        self.differs = differs or {}

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the names, and the help in the language that is spoken."""
        record = super().get_help_record(ctx)
        return record and (record[0], _(self.help or ""))

    def of(self, scenario: str) -> Option:
        """Return the option as the help of a scenario's command shows it."""
        option = copy(self)
        vars(option).update(self.differs.get(scenario, {}))
        return option

    def pick(self, context: click.Context, option: click.Parameter, given: Any) -> Any:
        """Put the name of a given option into `Context.meta`. Raise UsageError for a second one of its kind."""
        if given not in (None, False):
            name = self.opts[-1][2:]
            other = context.meta.setdefault(self.picks, name)
            if other != name:
                two = {
                    "scenario": mark("--{other} and --{name} are two scenarios; give one of them"),
                    "view": mark("--{other} and --{name} are two views; give one of them"),
                }
                raise click.UsageError(_(two[self.picks], other=other, name=name), context)
        return given


FLAG: Mapping[str, Any] = {"is_flag": True, "expose_value": False}
"""An option that is on where it is given, and of which no command is told."""


def scenario(name: str, help: str) -> Option:
    """Return the flag that picks a scenario of the command itself."""
    return Option([name], heading=WHAT, picks="scenario", help=help, goes_with=DEMONSTRATOR, **FLAG)


def runs_on(*names: str, **more: Any) -> Option:
    """Return an option that says what the scenario runs on."""
    return Option(names, heading=mark("What it runs on"), **more)


def view(name: str) -> Option:
    """Return the flag that picks the view of that name."""
    form = VIEWS[name]
    sessions = (*SESSIONS, Explain.scenario)
    goes_with = sessions if form.sessions_only else TOOLS if form.cures_only else None
    return shown(*form.short, f"--{name}", picks="view", help=form.help, goes_with=goes_with, **FLAG)


def shown(*names: str, **more: Any) -> Option:
    """Return an option that says how the report is shown."""
    return Option(names, heading=HOW_SHOWN, **more)


def printed_schema() -> str:
    """Return the schema of the JSON document."""
    import json

    from relu_demo.views.json import schema

    return json.dumps(schema(), indent=2)


def printed_versions() -> str:
    """Return the versions of this, PyTorch and Python. Import no PyTorch for that."""
    import platform
    from importlib import metadata

    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch = _("is not installed")
    return f"relu-demo {__version__}, PyTorch {torch}, Python {platform.python_version()}"


def asks(*names: str, answer: Callable[[], str], help: str) -> Option:
    """Return an option that prints something instead of a report, and ends."""

    def callback(context: click.Context, option: click.Parameter, given: bool) -> None:
        if given and not context.resilient_parsing:
            click.echo(answer())
            context.exit()

    return shown(*names, callback=callback, help=help, goes_with=DEMONSTRATOR, is_eager=True, **FLAG)


OPTIONS = (
    scenario("--inplace", mark("Only the half with inplace=True.")),
    scenario("--no-inplace", mark("Only the half with inplace=False.")),
    scenario("--compare", mark("Both halves side by side, then every claim.")),
    scenario("--branches", mark("Two branches read one tensor: three faults and their cures.")),
    scenario("--memory", mark("Measure the memory that in-place really saves.")),
    runs_on(
        "--seed",
        type=number_read,
        metavar="N",
        default=drawn_seed,
        goes_with=(*DEMONSTRATOR, Explain.scenario, Check.scenario),
        help=mark("The same seed gives the same numbers.  [default: drawn]"),
    ),
    runs_on(
        "--shape",
        "shapes",
        type=input_read,
        multiple=True,
        metavar="N,C,H,W",
        goes_with=(*DEMONSTRATOR, Check.scenario),
        help=mark("Random input.  [1,3,5,5; with --memory 1,16,64,64]"),
        differs={
            Check.scenario: {
                "metavar": "SIZES",
                "help": "One for each input: 2,3,8,8; or 2,16:0..999 for whole numbers from 0 to 999; or "
                "mask=2,16:bool for a keyword argument.",
            }
        },
    ),
    runs_on(
        "--device",
        metavar="NAME",
        shell_complete=usual("cpu", "cuda", "mps", "meta"),
        default=Replay.device,
        goes_with=(*DEMONSTRATOR, Check.scenario),
        help=mark("Device to run on, for example cuda:0.  [default: {default}]", default=Replay.device),
        differs={
            Check.scenario: {
                "help": "Device to run on, for example cuda:0; meta for a network too large for memory.  "
                f"[default: {Check.device}]"
            }
        },
    ),
    runs_on(
        "--dtype",
        metavar="NAME",
        shell_complete=usual("float32", "float64", "bfloat16", "float16"),
        default=Replay.dtype,
        goes_with=(*SESSIONS, Check.scenario),
        help=mark("Any floating-point dtype.  [default: {default}]", default=Replay.dtype),
    ),
    runs_on(
        "--article", is_flag=True, goes_with=SESSIONS, help=mark("The article's own 27 numbers instead of random ones.")
    ),
    runs_on(
        "--depth",
        type=number_read,
        metavar="K",
        default=Measure.depth,
        goes_with=(Measure.scenario,),
        help=mark(
            "Blocks in each network of --memory, up to {most}.  [default: {default}]",
            most=MAX_DEPTH,
            default=Measure.depth,
        ),
    ),
    runs_on(
        "--train/--eval",
        default=None,
        goes_with=(Check.scenario,),
        help="Training or evaluation mode.  [default: as it was built]",
    ),
    shown("--all", "every_call", is_flag=True, goes_with=(Check.scenario,), help="List every call, the safe ones too."),
    shown(
        "--try",
        "trying",
        is_flag=True,
        goes_with=(Watch.scenario,),
        help="Run it again with the cures, in memory, until nothing is found.",
    ),
    *(view(name) for name in VIEWS if name != TABLES),
    shown(
        "--lang",
        type=language_read,
        shell_complete=usual(*LANGUAGES),
        metavar="LANG",
        expose_value=False,
        goes_with=(*DEMONSTRATOR, Explain.scenario),
        help=mark("Speak en or zh.  [default: as LANG says]"),
    ),
    shown(
        "--save",
        type=file_read,
        shell_complete=files,
        metavar="FILE",
        help=mark("Save it as .svg, .html, .txt or .json; with --step a lesson."),
        differs={tool: {"help": "Save it as .svg, .html, .txt or .json."} for tool in TOOLS},
    ),
    shown(
        "--part",
        shell_complete=parts,
        metavar="NAME",
        default=Replay.part,
        goes_with=SESSIONS,
        help=mark("Show one part alone: a slide. Tab lists them."),
    ),
    shown("--light", is_flag=True, help=mark("With --save: dark on white, for print and slides.")),
    shown(
        "--values",
        type=number_read,
        metavar="N",
        default=LISTED,
        goes_with=SESSIONS,
        help=mark("List tensors of up to N values.  [default: {default}]", default=LISTED),
    ),
    shown(
        "--evidence",
        is_flag=True,
        goes_with=(*SESSIONS, Explain.scenario),
        help=mark("Show each claim with all of its evidence."),
    ),
    shown(
        "--traceback",
        is_flag=True,
        goes_with=(*DEMONSTRATOR, Explain.scenario, Check.scenario),
        help=mark("Show the traceback of an internal error."),
        differs={Check.scenario: {"help": "Show the traceback of an error in your network."}},
    ),
    asks("--schema", answer=printed_schema, help=mark("Print the JSON Schema of the --json document.")),
    asks("-V", "--version", answer=printed_versions, help=mark("Print the versions that run.")),
)
"""Every option but --help, in the order of --help."""


def options_of(*scenarios: str) -> list[click.Parameter]:
    """Return the options of the command of these scenarios."""
    return [o.of(scenarios[0]) for o in OPTIONS if o.goes_with is None or {*scenarios} & {*o.goes_with}]


def elsewhere(name: str) -> list[str]:
    """Return the commands of which a name is an option."""
    commands = {"relu-demo": DEMONSTRATOR, **{f"relu-demo {name}": (name,) for name in COMMANDS}}
    return [
        command
        for command, of in commands.items()
        if any(name in (*o.opts, *o.secondary_opts) for o in options_of(*of))
    ]
