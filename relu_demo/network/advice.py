"""Which switches to turn so that the network does what it does with everything out of place, and what that saves."""

from __future__ import annotations

from dataclasses import dataclass

from relu_demo.network.outcome import Outcome
from relu_demo.network.report import Advice, Call, Conflict
from relu_demo.network.verdicts import Verdicts

_ROUNDS = 8
"""Runs after which the search for switches that can be on together is given up."""


@dataclass(frozen=True)
class Agreed:
    """Switches that can be on together."""

    on: frozenset[int]
    """Indices of the calls."""
    verified: bool
    """Whether a real run with them did what everything out of place does."""
    conflicts: tuple[Conflict, ...] = ()
    """What kept others from being on as well."""


def advise(verdicts: Verdicts, calls: tuple[Call, ...], off: tuple[Call, ...]) -> tuple[Advice, tuple[Conflict, ...]]:
    """
    Return which switches to turn, and the conflicts between calls that are safe each alone.

    `calls`: those that the source has in place. `off`: those that it has out of place.
    """
    runs = verdicts.runs
    in_place = frozenset(call.index for call in calls)
    safe = frozenset(call.index for call in calls if call.safe)
    agreed = _agree(verdicts, safe, outcome=runs.as_written if safe == in_place else None)
    conflicts = agreed.conflicts
    if not agreed.verified:
        # What makes no difference with these inputs, each alone, can make one together.
        unread = frozenset(call.index for call in calls if call.safe and not call.readers)
        agreed = _agree(verdicts, unread)
        conflicts += agreed.conflicts
    on = agreed.on
    switchable = {candidate.index for candidate in runs.watched.candidates if candidate.switchable}
    wanted = frozenset(call.index for call in off if call.safe and call.bytes and call.index in switchable)
    turn_on: frozenset[int] = frozenset()
    if wanted and agreed.verified:
        more = _agree(verdicts, on | wanted, fixed=on)
        turn_on = more.on - on if more.verified else turn_on
    before = runs.memory(on) if turn_on else None
    after = runs.memory(on | turn_on) if turn_on else None
    turn_off = tuple(sorted(in_place - on))
    return Advice(turn_off, tuple(sorted(turn_on)), agreed.verified, before, after), conflicts


def _agree(
    verdicts: Verdicts, on: frozenset[int], fixed: frozenset[int] = frozenset(), outcome: Outcome | None = None
) -> Agreed:
    """
    Find switches of `on` that can be on together; those in `fixed` stay on. `outcome`: of a run with `on`, if known.

    A call that saves its result when in place, and its input when not, can be safe alone and still conflict with the
    next (leaky_relu, then dropout). A watched pass with the switches on, and its backward, tells which.
    """
    found: tuple[Conflict, ...] = ()
    for _ in range(_ROUNDS):
        # A run of its own, even if the same calls were in place before: it verifies the advice.
        outcome = outcome or verdicts.runs.in_place(on)
        if verdicts.good(outcome, on):
            return Agreed(on, True, found)
        if outcome.forward_error is not None or outcome.backward is not False:
            return Agreed(on, False, found)
        conflicts = [
            conflict
            for conflict in verdicts.runs.conflicts(on)
            if conflict.overwritten_by_call in on or conflict.saved_by_call in on
        ]
        found += tuple(dict.fromkeys(conflicts))
        away = (on - fixed) & {_in_the_way(conflict, on - fixed) for conflict in conflicts}
        if not away:
            return Agreed(on, False, found)
        on, outcome = on - away, None
    return Agreed(on, False, found)


def _in_the_way(conflict: Conflict, free: frozenset[int]) -> int | None:
    """Return the call of the two to be turned off: the writer, if it may be."""
    return conflict.overwritten_by_call if conflict.overwritten_by_call in free else conflict.saved_by_call
