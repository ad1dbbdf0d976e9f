"""One registry: for each kind of request what answers it, its report, its screen and its one line.

The report is the JSON document as well: `views/json.py` says how. Importing this imports no torch. Each answer
imports what it alone needs, since to import the check takes a twentieth of the time of a comparison.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from relu_demo.claims.report import SessionReport
from relu_demo.errors import NetworkError, SetupError
from relu_demo.language import _, mark
from relu_demo.memory.report import MemoryReport
from relu_demo.network.report import CheckReport
from relu_demo.request import Check, Explain, Measure, Progress, Replay, Request, Rules, Watch, sizes
from relu_demo.session.faults import RulesReport
from relu_demo.session.sessions import SESSIONS
from relu_demo.watching.report import WatchReport

if TYPE_CHECKING:
    from relu_demo.session.lines import Session

AnyReport = SessionReport | RulesReport | MemoryReport | CheckReport | WatchReport


def report_on(request: Replay | Explain | Rules | Measure | Check, progress: Progress) -> Any:
    """Return the report that answers a request. Call `progress(done, of)` while that takes long.

    Raise one of the kinds of `relu_demo.errors.Error` if there is no answer.
    """
    return KINDS[type(request)].answer(request, progress)


def replayed(request: Replay | Explain, progress: Progress) -> SessionReport:
    """Return the report on a session that is replayed.

    Raise SetupError where this machine cannot run it, and LineError where a line raises that should not.
    """
    from relu_demo.claims.judge import judge
    from relu_demo.replay.replay import replay

    trace = replay(runnable(request))
    return SessionReport(trace, judge(trace))


def stepped(request: Replay | Explain) -> Iterator[SessionReport]:
    """Yield the report so far, before a session's first line and after each. Raise what `replayed` raises.

    A line runs when the report after it is asked for. Only the last report has the verdicts on the claims.
    """
    from relu_demo.claims.judge import judge
    from relu_demo.replay.replay import traces

    session = runnable(request)
    for ran, trace in enumerate(traces(session)):
        yield SessionReport(trace, judge(trace) if ran == len(session.lines) else ())


def runnable(request: Replay | Explain) -> Session:
    """Return the session that a request asks for. Raise SetupError where this machine cannot run it."""
    from relu_demo.replay.preconditions import require_capacity
    from relu_demo.session.sessions import session_for

    session = session_for(request)
    if isinstance(request, Replay):
        require_capacity(session, request)
    return session


def listing(request: Rules, progress: Progress) -> RulesReport:
    """Return the list of the pages."""
    return RulesReport(request)


def measured(request: Measure, progress: Progress) -> MemoryReport:
    """Return the report on what in place saves, in bytes.

    Raise SetupError for a device that does not report what it allocates, and for a size that does not fit.
    """
    import torch

    from relu_demo.machine.devices import usable_device
    from relu_demo.machine.free_memory import require_memory
    from relu_demo.memory.measure import measure
    from relu_demo.memory.report import judge_rows
    from relu_demo.memory.situations import bytes_needed

    device = usable_device(request.device)
    if device.type not in ("cpu", "cuda"):
        why = _("{device} does not report what it allocates; give cpu or cuda", device=request.device)
        raise SetupError("--device", why)
    lacks = mark(
        "{shape} at depth {depth} needs about {needed} and {free} is free on {device}; give a smaller shape or depth"
    )
    require_memory(bytes_needed(request), device, lacks, shape=sizes(request.shape), depth=request.depth)
    rows = measure(request, progress)
    return MemoryReport(request, torch.__version__, rows, judge_rows(rows))


def checked(request: Check, progress: Progress) -> CheckReport:
    """Return the report on the user's own network. What the network's code prints goes to stderr.

    Raise BadInput if the target is no network, NetworkError if its own code raises, InputError if that is due to the
    random input, and SetupError for a device or dtype that is not available here.
    """
    from relu_demo.machine.pytorch import require_newer

    require_newer("check")
    import torch

    from relu_demo.machine.devices import usable_device, usable_dtype
    from relu_demo.network.check import examine, refused_in_building
    from relu_demo.network.inputs import blamed, random_inputs
    from relu_demo.network.target import load
    from relu_demo.sanitizer.layers import Layers

    meta = request.device == "meta"
    device = torch.device("meta") if meta else usable_device(request.device)
    dtype = usable_dtype(request.dtype, device)
    torch.manual_seed(request.seed)
    layers = Layers()
    with redirect_stdout(sys.stderr):
        try:
            with layers.listening(), device if meta else nullcontext():
                network = load(request.target, len(request.inputs))
        except NetworkError as error:
            name = request.target.rpartition(":")[2].partition("(")[0]
            refused = None if error.__cause__ is None else refused_in_building(name, error.__cause__)
            if refused is None:
                raise
            return replace(refused, request=request)
        if not meta:
            network = network.to(device)
        if request.dtype != Check.dtype:
            network = network.to(dtype)
        args, kwargs = random_inputs(request, network, device, dtype)
        try:
            report = examine(network, args, kwargs, request.train, progress, layers)
        except NetworkError as error:
            raise blamed(error, request) from error.__cause__
    return replace(report, request=request)


def watched(request: Watch, command: Sequence[str], to_stderr: bool) -> WatchReport:
    """Return the report on a program, which is run by a command line and, if that is asked for, with the cures.

    With `to_stderr` its standard output goes to standard error. Raise OSError if it cannot be started.
    """
    from relu_demo.watching.process.start import run_watched

    report = run_watched(request, command, to_stderr)
    if request.trying and report.findings:
        from relu_demo.watching.process.rerun import tried

        report = tried(report, command)
    return report


@dataclass(frozen=True)
class Kind:
    """What becomes of a kind of request. A function of `views/` stands as `module:name`, imported when asked for."""

    scenarios: tuple[str, ...]
    answer: Callable[..., AnyReport]
    report: type[AnyReport]
    screen: str
    """Draws the report."""
    line: str
    """Tells it in one line."""


SESSION = Kind(
    (*SESSIONS, Explain.scenario), replayed, SessionReport, "session_screen:SessionScreen", "one_line:session_line"
)

# A new kind of request has its row here.
KINDS: Mapping[type[Request], Kind] = {
    Replay: SESSION,
    Explain: SESSION,
    Rules: Kind((Rules.scenario,), listing, RulesReport, "differences:RulesScreen", "one_line:rules_line"),
    Measure: Kind((Measure.scenario,), measured, MemoryReport, "memory_screen:MemoryScreen", "one_line:memory_line"),
    Check: Kind((Check.scenario,), checked, CheckReport, "check_screen:CheckScreen", "one_line:check_line"),
    Watch: Kind((Watch.scenario,), watched, WatchReport, "watch_screen:WatchScreen", "one_line:watch_line"),
}


def kind_answered_by(report: AnyReport) -> Kind:
    """Return the kind of request that a report answers."""
    return next(kind for kind in KINDS.values() if isinstance(report, kind.report))
