"""The scenarios: what each runs, from what was asked for to its report.

Each imports what it alone needs: to import the check takes a twentieth of the time of a comparison.
"""

from __future__ import annotations

import inspect
import sys
from contextlib import nullcontext, redirect_stdout
from typing import TYPE_CHECKING, TextIO

import torch

from relu_demo.claims.report import Report
from relu_demo.errors import SetupError, first_line
from relu_demo.machine.devices import usable_device, usable_dtype
from relu_demo.network.asked import Answer, Asked
from relu_demo.replay.capacity import require_capacity
from relu_demo.request import sizes

if TYPE_CHECKING:
    from relu_demo.memory.measure import Progress
    from relu_demo.memory.situations import MemoryReport, Options
    from relu_demo.session.lines import Session


def replayed(session: Session, listed: int) -> Report:
    """The report on a session, with tensors of up to `listed` elements listed.

    Raises SetupError where this machine cannot run it, and LineError where a line raises that should not.
    """
    from relu_demo.claims.judge import judge
    from relu_demo.replay.replay import replay

    require_capacity(session, listed)
    trace = replay(session, listed)
    return Report(trace, judge(trace))


def stepped(session: Session, listed: int, out: TextIO) -> Report:
    """As `replayed`, a line at a time on the terminal that `out` is. The report is on the lines that have run.

    Raises KeyboardInterrupt and SystemExit too, where somebody asks for that.
    """
    from relu_demo.cli.stepping import step  # imports rich, which JSON does without

    require_capacity(session, listed)
    return step(session, listed, out)


def checked(asked: Asked, progress: Progress) -> Answer:
    """The report on the user's own network. `progress(done, of)` is told how many suspects are settled.

    What the network's code prints goes to stderr, so that stdout has the report alone. Raises BadInput for a target
    that is no network, NetworkError where its own code raises, and SetupError for a device or dtype that is not here.
    """
    from relu_demo.network.check import examine
    from relu_demo.network.target import load

    meta = asked.device == "meta"
    device = torch.device("meta") if meta else usable_device(asked.device)
    if meta and not hasattr(torch, "set_default_device"):
        raise SetupError("--device", f"to build on meta takes PyTorch 2.0, and this is {torch.__version__}; give cpu")
    dtype = usable_dtype(asked.dtype)
    torch.manual_seed(asked.seed)
    with redirect_stdout(sys.stderr):
        with device if meta else nullcontext():
            network = load(asked.target)
        if not meta:
            network = network.to(device)
        if asked.dtype != Asked.dtype:
            network = network.to(dtype)
        try:
            inputs = [torch.randn(shape, device=device, dtype=dtype) for shape in asked.shapes]
        except RuntimeError as error:
            raise SetupError("--shape", f"PyTorch cannot make such an input: {first_line(error)}") from error
        needs_shapes(network, len(inputs))
        report = examine(network, tuple(inputs), {}, asked.train, progress)
    return Answer(asked, torch.__version__, report)


def needs_shapes(network: torch.nn.Module, given: int) -> None:
    """Gives None where the network's forward takes so many inputs. Raises SetupError where it takes more."""
    forward = inspect.signature(network.forward)
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p.name for p in forward.parameters.values() if p.kind in positional and p.default is p.empty]
    if len(needed) > given:
        raise SetupError(
            "--shape", f"the network takes {' and '.join(needed)}; give one --shape for each, in this order"
        )


def measured(options: Options, progress: Progress) -> MemoryReport:
    """The report on what in-place saves, in bytes. `progress(done, of)` is told how far it is.

    Raises SetupError for a device whose allocator nobody listens to, and for a size that does not fit.
    """
    from relu_demo.machine.free_memory import amount, free_bytes
    from relu_demo.memory.claim import judge
    from relu_demo.memory.measure import measure
    from relu_demo.memory.situations import MemoryReport, bytes_needed, growth, situations

    device = usable_device(options.device)
    if device.type not in ("cpu", "cuda"):
        raise SetupError("--device", f"{options.device} does not tell what it allocates; give cpu or cuda")
    needed, free = bytes_needed(options), free_bytes(device)
    if free is not None and needed > free:
        size = f"{sizes(options.shape)} at depth {options.depth}"
        room = f"needs about {amount(needed)} and {amount(free)} is free on {options.device}"
        raise SetupError("--shape", f"{size} {room}; give a smaller shape or --depth")
    table = situations(options)
    found = measure(options, progress, (*table, *growth(options)))
    rows, chains = found[: len(table)], found[len(table) :]
    return MemoryReport(options, torch.__version__, rows, chains, judge(rows))
