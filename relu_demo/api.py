"""The public functions, called as `relu_demo.show(...)` in a notebook or a test. Each report shows itself.

relu_demo.show("compare", seed=7)
report = relu_demo.check(model, torch.randn(1, 3, 224, 224))
assert report.ok, str(report)

Importing this imports no torch: to read what there is costs nothing.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from operator import index
from typing import TYPE_CHECKING, Any

from relu_demo.claims.report import SessionReport
from relu_demo.errors import BadInput, NetworkError, nearest
from relu_demo.language import LANGUAGES, speaking
from relu_demo.machine.pytorch import require_newer
from relu_demo.memory.report import MemoryReport
from relu_demo.network.report import CheckReport
from relu_demo.request import LISTED, WHOLE, Explain, Measure, Replay, Rules, drawn_seed, image
from relu_demo.session.faults import RulesReport
from relu_demo.session.sessions import SESSIONS
from relu_demo.watching.report import InplaceError as InplaceError
from relu_demo.watching.report import SilentInplaceWarning as SilentInplaceWarning
from relu_demo.watching.report import WatchReport

if TYPE_CHECKING:
    import torch
    from torch import nn

    from relu_demo.scenarios import AnyReport
    from relu_demo.watching.watch import WatchBlock

SCENARIOS = (*SESSIONS, Measure.scenario, Explain.scenario)
"""What `show` shows."""

GOES_WITH: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "name": ("", (Explain.scenario,)),
    "shape": (None, (*SESSIONS, Measure.scenario)),
    "device": (Replay.device, (*SESSIONS, Measure.scenario)),
    "dtype": (Replay.dtype, tuple(SESSIONS)),
    "article": (Replay.article, tuple(SESSIONS)),
    "values": (LISTED, tuple(SESSIONS)),
    "depth": (None, (Measure.scenario,)),
}
"""The arguments of `show` that are not for every scenario: the default, and the scenarios."""


@dataclass(frozen=True, repr=False)
class Shown:
    """A report that shows itself: as text, in one line, in a notebook, on rich's console, and as JSON's plain data."""

    lang: str = "en"
    """The language in which it does, but for JSON."""

    def __str__(self: Any) -> str:
        """Return the screen as plain text."""
        with drawing_no_numbers(), speaking(self.lang):
            from relu_demo.views.tables import text_of_tables

            return text_of_tables(self)

    def __repr__(self: Any) -> str:
        """Return what was asked and the answer, in one line."""
        from relu_demo.views.one_line import one_line

        with speaking(self.lang):
            return f"<{one_line(self)}>"

    def __rich__(self: Any) -> Any:
        """Return the screen."""
        from relu_demo.views.tables import ScreenIn

        return ScreenIn(self.lang, self)

    def _repr_html_(self: Any) -> str:
        """Return the screen as a notebook shows it."""
        with drawing_no_numbers(), speaking(self.lang):
            from relu_demo.views.pictures import html_of_cell

            return html_of_cell(self)

    def to_dict(self: Any) -> dict[str, Any]:
        """Return the document that `--json` prints."""
        from relu_demo.views.json import as_read

        return as_read(self)


@dataclass(frozen=True, repr=False)
class ShownSession(Shown, SessionReport):
    """The report of `show` on a session: its trace, and the verdict on each claim."""


@dataclass(frozen=True, repr=False)
class ShownRules(Shown, RulesReport):
    """The report of `show("explain")`: the faults that can be explained."""


@dataclass(frozen=True, repr=False)
class ShownMemory(Shown, MemoryReport):
    """The report of `show("memory")`: what in place saves, in bytes."""


@dataclass(frozen=True, repr=False)
class ShownWatch(Shown, WatchReport):
    """The report of `watch`."""


@dataclass(frozen=True, repr=False)
class Report(Shown, CheckReport):
    """The report of `check`."""


def check(model: nn.Module | Callable[..., Any], /, *inputs: Any, train: bool | None = None, **kwargs: Any) -> Report:
    """Return which in-place calls of a network are safe, which are not, and why.

    `model` is a network, or a function (a loss) with the networks and tensors that it uses. Run
    `model(*inputs, **kwargs)` under watch, settle each suspect by real runs, and leave no trace: the model, the
    caller's tensors and the random generators are as before, bit for bit. Every pass sees the same random numbers.

    `inputs` and `kwargs` may hold any tensors, in containers too. On device meta a suspect stays a suspect where only
    values could tell. `train` sets `model.train(train)` for the check; None leaves each module as built.

    Autograd records the forward exactly if it would where `check` is called: under `torch.no_grad()` the check is one
    of inference, and no backward is tried. The loss of the trial backward is a fixed weighting of every output that
    requires grad.

    Raise BadInput if `model` is neither, has lazy parameters, or runs only unwatched. Raise NetworkError, with the
    network's own error as its cause, if the forward raises even with everything out of place.

    In-place semantics: https://pytorch.org/docs/stable/notes/autograd.html#in-place-operations-with-autograd
    """
    require_newer("check")
    from relu_demo.network.check import examine
    from relu_demo.sanitizer.layers import Layers

    caller = sys._getframe(1)
    layers = Layers(otherwise=(caller.f_code.co_filename, caller.f_lineno))
    try:
        return Report(**fields_of(examine(model, inputs, kwargs, train, layers=layers)))
    except NetworkError as error:
        for shape in (*inputs, *kwargs.values()):
            if isinstance(shape, tuple) and shape and all(type(size) is int for size in shape):
                words = f"{tuple(shape)} is a shape; give a tensor, torch.randn({', '.join(map(str, shape))})"
                raise BadInput(words) from error.__cause__
        raise


def watch() -> WatchBlock:
    """Return a context manager that watches what its block does: `with relu_demo.watch(): loss.backward()`.

    Raise InplaceError inside the block where PyTorch refuses a write in place, or where a backward needs a tensor that
    was overwritten: a RuntimeError that begins with PyTorch's own words, with both lines and the cure below them. Warn
    with SilentInplaceWarning where PyTorch says nothing and numbers are wrong. Its `report` has all of it, then and
    afterwards.

    Only the thread that enters is watched. Inside another watch it is that one once more.
    """
    require_newer("watch")
    from relu_demo.watching.watch import WatchBlock

    return WatchBlock(kind=ShownWatch)


def show(
    scenario: str = WHOLE,
    *,
    seed: int | None = None,
    shape: Iterable[int] | None = None,
    device: str | torch.device = Replay.device,
    dtype: str | torch.dtype = Replay.dtype,
    article: bool = Replay.article,
    values: int = LISTED,
    depth: int | None = None,
    name: str = "",
    lang: str = "en",
) -> ShownSession | ShownRules | ShownMemory:
    """Return the report of a scenario of the demonstrator, which shows itself in a notebook and as `str()`.

    `scenario` is "session" (all of it), "inplace" or "no-inplace" (one half), "compare" (both halves side by side),
    "branches" (two branches that read one tensor), "memory" (what in place saves, in bytes), or "explain" (the fault
    called `name`, with its cure; without a name all that there are).

    `seed` is for `torch.manual_seed`; None draws one. `shape` has four sizes N, C, H, W: by default 1, 3, 5, 5, and
    for "memory" 1, 16, 64, 64. `device` and `dtype` are PyTorch's, or their names. With `article` the numbers are the
    article's own 27. Values are listed of tensors of up to `values` elements. `depth` is the number of blocks in each
    network that "memory" measures, 8 if it is None. The report shows itself in English, or with lang="zh" in Chinese.

    PyTorch's random generators on the CPU and on CUDA are as before afterwards. Gradients are recorded, also if `show`
    is called under `torch.no_grad()`.

    Raise BadInput, a ValueError, for a value that cannot be used, which says what to give instead, and TypeError for
    one of another type. Raise LineError if PyTorch cannot run a line of the session.
    """
    require_scenario(scenario)
    if lang not in LANGUAGES:
        raise BadInput(f"there is no language {lang!r}; give one of {', '.join(map(repr, LANGUAGES))}")
    device, dtype = str(device), str(dtype).removeprefix("torch.")
    given = {"name": name, "shape": shape, "device": device, "dtype": dtype, "article": article, "values": values}
    refuse_misplaced(scenario, {**given, "depth": depth})
    sizes = None if shape is None else image(tuple(map(index, shape)))
    request: Replay | Explain | Rules | Measure
    if scenario == Explain.scenario:
        number = drawn_seed() if seed is None else index(seed)
        request = Explain(name, number) if name else Rules()
    elif scenario == Measure.scenario:
        blocks = Measure.depth if depth is None else index(depth)
        request = Measure(sizes or Measure.shape, blocks, device)
    else:
        if article and (sizes or dtype != Replay.dtype):
            raise BadInput("the article's numbers have their own shape and dtype; leave shape and dtype out")
        number = drawn_seed() if seed is None else index(seed)
        request = Replay(scenario, number, sizes or Replay.shape, device, dtype, bool(article), index(values))
    from relu_demo.scenarios import report_on

    with undisturbed():
        report = report_on(request, lambda done, of: None)
    shown: ShownSession | ShownRules | ShownMemory = SHOWN[type(report)](**fields_of(report), lang=lang)
    return shown


SHOWN: Mapping[type, Callable[..., Any]] = {
    SessionReport: ShownSession,
    RulesReport: ShownRules,
    MemoryReport: ShownMemory,
}


def fields_of(report: AnyReport) -> dict[str, Any]:
    """Return the fields of a report by their names."""
    return {each.name: getattr(report, each.name) for each in fields(report)}


@contextmanager
def drawing_no_numbers() -> Iterator[None]:
    """Have Python's random generator afterwards as it was before: rich draws a number for a style."""
    before = random.getstate()
    try:
        yield
    finally:
        random.setstate(before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Have gradients recorded inside the context, and the random generators afterwards as they were before."""
    import torch

    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
        yield


def require_scenario(name: str) -> None:
    """Raise TypeError for what is no name, and BadInput for one that is not in SCENARIOS; say what to give instead."""
    names = ", ".join(map(repr, SCENARIOS))
    if not isinstance(name, str):
        raise TypeError(f"show() takes the name of a scenario, one of {names}; to check a network call relu_demo.check")
    if name in SCENARIOS:
        return
    if name == "check":
        raise BadInput("to check a network call relu_demo.check(model, *inputs)")
    close = nearest(name.strip("-"), SCENARIOS)
    hint = f"did you mean {close!r}?" if close else f"give one of {names}"
    raise BadInput(f"there is no scenario {name!r}; {hint}")


def refuse_misplaced(scenario: str, given: Mapping[str, Any]) -> None:
    """Raise BadInput if an argument is given, at another value than its default, that is not for this scenario."""
    for name, (default, scenarios) in GOES_WITH.items():
        if scenario not in scenarios and given[name] != default:
            raise BadInput(f"{name} does not go with {scenario!r}; it goes with {', '.join(map(repr, scenarios))}")
