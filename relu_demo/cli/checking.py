"""`check`: the user's network is loaded and run, and standard output is kept free for the report."""

from __future__ import annotations

import sys
from contextlib import suppress

from relu_demo.cli.command import Asked
from relu_demo.cli.output import deliver, save
from relu_demo.cli.progress import progress_bar
from relu_demo.cli.targets import find_network
from relu_demo.machine.pytorch import load_torch
from relu_demo.request import Check
from relu_demo.script.stdout import Taken, take
from relu_demo.script.world import World


def checked(asked: Asked, request: Check) -> int:
    """
    Load the network of a request, check it, report, and return the exit code.

    The network's folder comes first in `sys.path`, and may have a `rich.py`: what a report needs is imported when the
    network's own paths and modules are out of the way again.
    """
    find_network(request.target)
    load_torch()
    from relu_demo import scenarios

    world, taken = World.now(), _taken()
    World.give_own_lists()
    try:
        with progress_bar("Checking") as progress:
            report = scenarios.checked(request, progress)
    except BaseException:
        world.put_attributes()  # the network may have closed or replaced standard error
        raise
    undo = world.restore()
    try:
        if asked.save:
            save(report, asked.view, asked.save, asked.light)
        else:
            deliver(report, asked.view, sys.stdout if taken is None else taken.stream)
    finally:
        undo()
        if taken is not None:  # or Python says at its end that nobody reads on
            with suppress(OSError):
                taken.stream.close()
    return 0 if report.ok else 1 if report.has_fault else 3


def _taken() -> Taken | None:
    """
    Take standard output from the user's code, for good: a thread of the network may live as long as the process.

    None where `sys.stdout` is not the process's own.
    """
    with suppress(OSError, ValueError, AttributeError):
        return take() if sys.stdout.fileno() == 1 else None
    return None
