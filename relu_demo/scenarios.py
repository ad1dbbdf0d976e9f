"""Each request answered: what was asked goes in, its report comes out.

Each scenario imports what it alone needs: to import the check takes a twentieth of the time of a comparison.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from relu_demo.claims.report import SessionReport
from relu_demo.errors import NetworkError, SetupError
from relu_demo.machine.devices import usable_device, usable_dtype
from relu_demo.machine.pytorch import require_newer
from relu_demo.request import Check, Measure, Progress, Replay, sizes

if TYPE_CHECKING:
    from relu_demo.memory.report import MemoryReport
    from relu_demo.network.report import CheckReport
    from relu_demo.session.lines import Session


def answer(request: Replay | Measure | Check, progress: Progress) -> SessionReport | MemoryReport | CheckReport:
    """Return the report that answers a request. Call `progress(done, of)` while that takes long.

    Raise one of the kinds of `relu_demo.errors.Error` if there is no answer.
    """
    if isinstance(request, Check):
        return checked(request, progress)
    if isinstance(request, Measure):
        return measured(request, progress)
    return replayed(request)


def replayed(request: Replay) -> SessionReport:
    """Return the report on a session that is replayed.

    Raise SetupError where this machine cannot run it, and LineError where a line raises that should not.
    """
    from relu_demo.claims.judge import judge
    from relu_demo.replay.replay import replay

    trace = replay(runnable(request))
    return SessionReport(trace, judge(trace))


def stepped(request: Replay) -> Iterator[SessionReport]:
    """Yield the report so far, before a session's first line and after each. Raise what `replayed` raises.

    A line runs when the report after it is asked for. Only the last report has the claims' findings.
    """
    from relu_demo.claims.judge import judge
    from relu_demo.replay.replay import traces

    session = runnable(request)
    for ran, trace in enumerate(traces(session)):
        yield SessionReport(trace, judge(trace) if ran == len(session.lines) else ())


def runnable(request: Replay) -> Session:
    """Return the session that a request asks for. Raise SetupError where this machine cannot run it."""
    from relu_demo.replay.capacity import require_capacity
    from relu_demo.session.sessions import session_for

    session = session_for(request)
    require_capacity(session)
    return session


def measured(request: Measure, progress: Progress) -> MemoryReport:
    """Return the report on what in place saves, in bytes.

    Raise SetupError for a device that does not report what it allocates, and for a size that does not fit.
    """
    from relu_demo.machine.free_memory import require_memory
    from relu_demo.memory.measure import measure
    from relu_demo.memory.report import MemoryReport, judge_rows
    from relu_demo.memory.situations import bytes_needed, growth, situations

    device = usable_device(request.device)
    if device.type not in ("cpu", "cuda"):
        raise SetupError("--device", f"{request.device} does not report what it allocates; give cpu or cuda")
    what = f"{sizes(request.shape)} at depth {request.depth}"
    require_memory(bytes_needed(request), device, what, " or depth")
    table = situations(request)
    found = measure(request, progress, (*table, *growth(request)))
    rows, chains = found[: len(table)], found[len(table) :]
    return MemoryReport(request, torch.__version__, rows, chains, judge_rows(rows))


def checked(request: Check, progress: Progress) -> CheckReport:
    """Return the report on the user's own network. What the network's code prints goes to stderr.

    Raise BadInput if the target is no network, NetworkError if its own code raises, InputError if that is due to the
    random input, and SetupError for a device or dtype that is not available here.
    """
    require_newer("check")
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
