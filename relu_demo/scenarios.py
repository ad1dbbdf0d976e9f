"""The scenarios: what each runs, from what was asked for to its report. Imports torch."""

from __future__ import annotations

from typing import TextIO

import torch

from relu_demo.claims import judge
from relu_demo.machine import SetupError, check, usable_device
from relu_demo.measure import Progress, measure
from relu_demo.memory import MemoryReport, Options, bytes_needed, growth, situations
from relu_demo.memory import judge as judge_memory
from relu_demo.replay import replay
from relu_demo.report import Report
from relu_demo.room import amount, free_bytes
from relu_demo.session import Session


def replayed(session: Session, listed: int) -> Report:
    """The report on a session, with tensors of up to `listed` elements listed.

    Raises SetupError where this machine cannot run it, and LineError where a line raises that should not.
    """
    check(session)
    trace = replay(session, listed)
    return Report(trace, judge(trace))


def stepped(session: Session, listed: int, out: TextIO) -> Report:
    """As `replayed`, a line at a time on the terminal that `out` is. The report is on the lines that have run.

    Raises KeyboardInterrupt and SystemExit too, where somebody asks for that.
    """
    from relu_demo.stepping import step  # imports rich, which JSON does without

    check(session)
    return step(session, listed, out)


def measured(options: Options, progress: Progress) -> MemoryReport:
    """The report on what in-place saves, in bytes. `progress(done, of)` is told how far it is.

    Raises SetupError for a device whose allocator nobody listens to, and for a size that does not fit.
    """
    device = usable_device(options.device)
    if device.type not in ("cpu", "cuda"):
        raise SetupError("--device", f"{options.device} does not tell what it allocates; give cpu or cuda")
    needed, free = bytes_needed(options), free_bytes(device)
    if free is not None and needed > free:
        size = f"{','.join(map(str, options.shape))} at depth {options.depth}"
        room = f"needs about {amount(needed)} and {amount(free)} is free on {options.device}"
        raise SetupError("--shape", f"{size} {room}; give a smaller shape or --depth")
    table = situations(options)
    found = measure(options, progress, (*table, *growth(options)))
    rows, chains = found[: len(table)], found[len(table) :]
    return MemoryReport(options, torch.__version__, rows, chains, judge_memory(rows))
