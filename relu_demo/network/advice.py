"""Which switches to turn so that the network does what it does with everything out of place, and what that saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relu_demo.network.report import Advice, Call, Conflict
from relu_demo.network.verdicts import Verdicts


def advise(verdicts: Verdicts, calls: tuple[Call, ...], off: tuple[Call, ...]) -> tuple[Advice, tuple[Conflict, ...]]:
    """Return which switches to turn, and the conflicts between calls that are safe each alone.

    `calls`: those that the source has in place. `off`: those that it has out of place.
    """
    runs = verdicts.runs
    switches = _switches((*calls, *off))
    in_place = frozenset(call.index for call in calls)
    on, verified, conflicts = _agree(verdicts, frozenset(call.index for call in calls if call.safe), in_place, switches)
    if not verified:
        # What makes no difference with these inputs, each alone, can make one together.
        unread = frozenset(call.index for call in calls if call.safe and not call.readers)
        on, verified, more = _agree(verdicts, unread, in_place, switches)
        conflicts += more
    turn_on = _more(verdicts, off, on, switches) if verified and on == in_place else frozenset[int]()
    before = after = None
    if turn_on:
        before, after = runs.memory(on), runs.memory(on | turn_on)
        if after.live >= before.live and after.peak >= before.peak:
            turn_on, before, after = frozenset(), None, None
    return Advice(tuple(sorted(in_place - on)), tuple(sorted(turn_on)), verified, before, after), conflicts


Switches = Mapping[int, frozenset[int]]
"""For each call, all calls that its switch turns, itself among them."""


def _switches(calls: Sequence[Call]) -> Switches:
    """Group calls by their switch: all calls of one module have the same, any other call has its own."""
    shared: dict[str | None, set[int]] = {}
    for call in calls:
        shared.setdefault(call.switch, set()).add(call.index)
    return {call.index: frozenset([call.index] if call.switch is None else shared[call.switch]) for call in calls}


def _closed(on: frozenset[int], among: frozenset[int], switches: Switches) -> frozenset[int]:
    """Drop the calls of `on` whose switch also turns a call of `among` that must stay off."""
    return frozenset(index for index in on if switches[index] & among <= on)


def _more(verdicts: Verdicts, off: Sequence[Call], on: frozenset[int], switches: Switches) -> frozenset[int]:
    """Return which calls that are off could be on together, besides `on`."""
    switchable = {one.call.index for one in verdicts.runs.watched.candidates if one.switchable}
    harmless = frozenset(call.index for call in off if call.safe and call.index in switchable)
    wanted = _closed(on | harmless, frozenset(switches), switches) - on
    # A call that writes nothing (a dropout in evaluation) goes with its switch, and is no reason to turn it.
    wanted = frozenset(index for index in wanted if any(call.bytes for call in off if call.index in switches[index]))
    return wanted if wanted and verdicts.good(on | wanted) else frozenset()


def _agree(
    verdicts: Verdicts, on: frozenset[int], among: frozenset[int], switches: Switches
) -> tuple[frozenset[int], bool, tuple[Conflict, ...]]:
    """Return calls of `on` that can be on together, whether a real run has shown that, and what kept others away.

    The switches turn calls of `among` alone. A call that saves its result when in place, and its input when not, can be
    safe alone and still conflict with the next (leaky_relu, then dropout). A watched pass with the switches on, and its
    backward, tells which. Of the two the next is turned off.
    """
    found: tuple[Conflict, ...] = ()
    on = _closed(on, among, switches)
    while not verdicts.good(on):
        stops = verdicts.runs.in_place(on).backward is not False  # the forward raises, or the result differs
        every = [] if stops else verdicts.runs.with_backward(on).conflicts
        conflicts = [each for each in every if each.writer_call in on]
        if not conflicts:
            return on, False, found
        found += tuple(dict.fromkeys(conflicts))
        on = _closed(on - {each.writer_call for each in conflicts}, on, switches)
    return on, True, found
