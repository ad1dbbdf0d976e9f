"""Which switches to turn so that the network does what it does with everything out of place, and what that saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    switches = _switches((*calls, *off))
    in_place = frozenset(call.index for call in calls)
    safe = _whole(frozenset(call.index for call in calls if call.safe), in_place, switches)
    agreed = _agree(verdicts, safe, switches, outcome=runs.as_written if safe == in_place else None)
    conflicts = agreed.conflicts
    if not agreed.verified:
        # What makes no difference with these inputs, each alone, can make one together.
        unread = frozenset(call.index for call in calls if call.safe and not call.readers)
        agreed = _agree(verdicts, _whole(unread, in_place, switches), switches)
        conflicts += agreed.conflicts
    on = agreed.on
    turn_on: frozenset[int] = frozenset()
    before = after = None
    if agreed.verified and on == in_place:
        turn_on = _more(verdicts, off, on, switches)
    if turn_on:
        before, after = runs.memory(on), runs.memory(on | turn_on)
        if after.live >= before.live and after.peak >= before.peak:
            turn_on, before, after = frozenset(), None, None
    turn_off = tuple(sorted(in_place - on))
    return Advice(turn_off, tuple(sorted(turn_on)), agreed.verified, before, after), conflicts


Switches = Mapping[int, frozenset[int]]
"""For each call, all calls that its switch turns, itself among them."""


def _switches(calls: Sequence[Call]) -> Switches:
    """Group calls by their switch: all calls of one module have the same, any other call has its own."""
    shared: dict[str | None, set[int]] = {}
    for call in calls:
        shared.setdefault(call.switch, set()).add(call.index)
    return {call.index: frozenset([call.index] if call.switch is None else shared[call.switch]) for call in calls}


def _whole(on: frozenset[int], among: frozenset[int], switches: Switches) -> frozenset[int]:
    """Return the calls of `on` but for those whose switch turns another call of `among` that is not in `on`."""
    return frozenset(index for index in on if switches[index] & among <= on)


def _more(verdicts: Verdicts, off: Sequence[Call], on: frozenset[int], switches: Switches) -> frozenset[int]:
    """Return which calls that are off could be on together, besides `on`."""
    switchable = {candidate.index for candidate in verdicts.runs.watched.candidates if candidate.switchable}
    harmless = frozenset(call.index for call in off if call.safe and call.index in switchable)
    wanted = _whole(on | harmless, frozenset(switches), switches) - on
    # A call that writes nothing (a dropout in evaluation) goes with its switch, and is no reason to turn it.
    wanted = frozenset(index for index in wanted if any(call.bytes for call in off if call.index in switches[index]))
    if not wanted:
        return wanted
    more = _agree(verdicts, on | wanted, switches, fixed=on)
    return more.on - on if more.verified else frozenset()


def _agree(
    verdicts: Verdicts,
    on: frozenset[int],
    switches: Switches,
    fixed: frozenset[int] = frozenset(),
    outcome: Outcome | None = None,
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
            if conflict.writer_call in on or conflict.saver_call in on
        ]
        found += tuple(dict.fromkeys(conflicts))
        away = (on - fixed) & {_in_the_way(conflict, on - fixed) for conflict in conflicts}
        if not away:
            return Agreed(on, False, found)
        on, outcome = _whole(on - away, on, switches) | fixed, None
    return Agreed(on, False, found)


def _in_the_way(conflict: Conflict, free: frozenset[int]) -> int | None:
    """Return the call of the two to be turned off: the writer, if it may be."""
    return conflict.writer_call if conflict.writer_call in free else conflict.saver_call
