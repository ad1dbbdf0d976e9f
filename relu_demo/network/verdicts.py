"""What the real runs say: the effects of each call alone, and of the network as written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

from torch import Tensor

from relu_demo.errors import NetworkError, first_line
from relu_demo.network.outcome import SUMMED_OTHERWISE, Outcome, gradient_gap, largest_value, leaf_difference
from relu_demo.network.report import (
    BREAKS_BACKWARD,
    CHANGES_RESULT,
    OVERWRITES_INPUT,
    STALE_WORDS,
    WRONG_GRADIENTS,
    AsWritten,
    Conflict,
    Effect,
    EffectKind,
    HarmfulWrite,
    Unseen,
    unique,
)
from relu_demo.network.runs import Runs
from relu_demo.network.suspects import Candidate
from relu_demo.network.target import said_by
from relu_demo.sanitizer.place import Place
from relu_demo.watching.report import REFUSED

_OUTSIDE = Place("held after the forward by a hook, a closure or a global", "", is_kept=True)
_HOOK_READS = "or look in a forward pre-hook, which sees the input before"
_HOOK_KEEPS = "or keep a clone() in the hook"
_SHARED = "another part of the graph may have what is written to"
_ROUNDING = 1e-5
"""What a kernel that is not deterministic may change, as a part of the largest number."""
_ABOVE_NOISE = 10
"""A fault is more than so many times what two equal runs differ by."""


class Verdicts:
    """Compares real runs with everything out of place; each set of calls in place once, for every run is the same."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self._found: dict[frozenset[int], AsWritten] = {}

    def effects(self, candidate: Candidate) -> tuple[Effect, ...]:
        """Run the network with this call alone in place, and return what that does."""
        self._base()
        outcome = self.runs.alone(candidate.call.index)
        if outcome.forward_error is not None:
            words = first_line(outcome.forward_error)
            # A backward inside of the forward: a gradient penalty.
            made = (candidate.made_by,) if candidate.made_by is not None else ()
            savers = unique(candidate.saved_then) if STALE_WORDS in words else made
            return (Effect(REFUSED, True, savers, words=words),)
        found = [
            self._effect_on_result(candidate, outcome),
            self._effect_on_backward(candidate, outcome),
            Effect(OVERWRITES_INPUT, outcome.changed > 0) if candidate.on_input else None,
        ]
        return tuple(effect for effect in found if effect is not None)

    def _base(self) -> Outcome:
        """Return the run with everything out of place. Raise NetworkError if that raises: under watch it did not."""
        base = self.runs.out_of_place
        if base.forward_error is not None:
            whose = "the network's forward ran once, and then, from the same state and input,"
            raise NetworkError(said_by(base.forward_error, whose)) from base.forward_error
        return base

    def good(self, on: frozenset[int]) -> bool:
        """Return whether the network with the calls in `on` in place does what it does out of place."""
        outcome = self.runs.in_place(on)
        return not self.of(outcome, on).is_other and not self._breaks_backward(on, outcome)

    def as_written(self) -> AsWritten:
        """Return what the network does with each call as its own switch says."""
        outcome, on = self.runs.as_written, self.runs.written
        found = self._verdict(outcome, on) if outcome.writes_in_backward else self.of(outcome, on)
        if self.runs.watched.runs_in_backward and not (found.forward_error or found.differs):
            found = replace(found, gradients_differ=found.gradients_differ or self.overwrites_silently(outcome))
        return found

    def of(self, outcome: Outcome, on: frozenset[int]) -> AsWritten:
        """Return the verdict on a run with the calls in `on` in place: its result, state and gradients."""
        if on not in self._found:
            self._found[on] = self._verdict(outcome, on)
        return self._found[on]

    def overwrites_silently(self, outcome: Outcome) -> bool:
        """Return whether the gradients of a run change if no write reaches what autograd has saved."""
        if outcome.backward is not True:
            return False
        copies = self.runs.on_saved_copies
        known = outcome.gradients.keys() & copies.gradients.keys()
        outcome = replace(outcome, gradients={i: outcome.gradients[i] for i in known})
        gap = gradient_gap(outcome, replace(copies, gradients={i: copies.gradients[i] for i in known}))
        return gap > SUMMED_OTHERWISE and gap > self._noise_of_gradients

    def overwriting(self, whole: AsWritten) -> tuple[HarmfulWrite, ...]:
        """Return the writes without a switch that overwrite what somebody saved, if the network as written is wrong.

        If there are none, all in backward: what it is given may be another's, too.
        """
        watched = self.runs.with_backward(self.runs.written)
        savers = {place: list(by) for place, by in watched.in_backward.items() if by}
        savers = self._savers(watched.conflicts, savers) or watched.in_backward
        kind: EffectKind = BREAKS_BACKWARD if whole.backward is False else CHANGES_RESULT
        whys = {place: "" if by else _SHARED for place, by in savers.items()}
        return tuple(HarmfulWrite(place, unique(by), kind, why=whys[place]) for place, by in savers.items())

    def other_writes(self) -> tuple[HarmfulWrite, ...]:
        """Return the in-place writes without a switch that break backward, everything else out of place.

        Raise NetworkError if backward raises something that is no RuntimeError, as PyTorch's own errors are.
        """
        error = self.runs.out_of_place.backward_error
        if error is not None and not isinstance(error, RuntimeError):
            raise NetworkError(said_by(error, "the network's backward")) from error
        savers = self._savers(self.runs.with_backward(frozenset()).conflicts, {})
        return (*self.runs.watched.lost_views, *(HarmfulWrite(place, unique(by)) for place, by in savers.items()))

    def _savers(self, conflicts: Iterable[Conflict], savers: dict[Place, list[Place]]) -> dict[Place, list[Place]]:
        """Add to each write without a switch who had saved what it overwrites."""
        for conflict in conflicts:
            if conflict.writer_call is None:
                savers.setdefault(conflict.writer, []).append(conflict.saver)
        return savers

    def unsteady(self) -> Iterator[Unseen]:
        """Say so if equal runs were seen to differ, though torch draws the same random numbers."""
        if "repeated" in vars(self.runs):
            gap = self._noise / _ABOVE_NOISE
            if gap > _ROUNDING * largest_value(self.runs.out_of_place.result):
                why = f"differs by up to {gap:.4g} from run to run, though torch draws the same numbers"
                yield Unseen("", type(self.runs.network).__name__, why)

    @property
    def _noise(self) -> float:
        """Return the most that a result may differ by, as equal runs do."""
        return _ABOVE_NOISE * max(self.runs.apart(a, b) or 0.0 for a, b in pairwise(self.runs.repeated))

    @property
    def _noise_of_gradients(self) -> float:
        return _ABOVE_NOISE * max(gradient_gap(a, b) for a, b in pairwise(self.runs.repeated))

    def _verdict(self, outcome: Outcome, on: frozenset[int]) -> AsWritten:
        """Compare result, state and gradients with everything out of place.

        In place can be another kernel than out of place (a loop over strides, the backward of elu from its result),
        which rounds otherwise. So where anything differs, the same calls run in place on copies too: with the same
        kernels, and nothing overwritten. What differs from that run as well is a fault, however small; the rest is
        rounding, however large. That run is not needed where the call alone was seen to round the same.
        """
        if self.matches_watched_pass(outcome):
            return AsWritten(0.0, False, None, outcome.backward, None, outcome.backward)
        runs, base = self.runs, self._base()
        if outcome.forward_error is not None:
            return AsWritten(None, False, first_line(outcome.forward_error), None, None, base.backward)
        words = _words_of(outcome.backward_error)
        apart = runs.apart(base, outcome)
        same = AsWritten(apart, False, None, outcome.backward, words, base.backward)
        beside = _largest(base.beside, outcome.beside)
        # Where backward raises with everything out of place, only the run on copies has gradients.
        lone = base.backward is False and outcome.backward is True
        if not (apart or beside or lone or gradient_gap(base, outcome)):
            return same
        if outcome.rounds_alike and apart:
            return replace(same, differs=apart > self._noise)
        copies = runs.on_copies(on)
        if beside and _largest(copies.beside, outcome.beside):
            beside = beside > _ABOVE_NOISE * max(_largest(a.beside, b.beside) for a, b in pairwise(runs.repeated))
        else:
            beside = False
        differs = bool(runs.apart(copies, outcome)) and (apart or 0.0) > self._noise
        gap = gradient_gap(copies, outcome)
        # Some kernels of accelerators are not deterministic, nor is every network.
        gradients_differ = not differs and gap > SUMMED_OTHERWISE and gap > self._noise_of_gradients
        return replace(same, differs=differs, gradients_differ=gradients_differ, hooks_differ=beside)

    def _effect_on_result(self, candidate: Candidate, outcome: Outcome) -> Effect | None:
        readers, savers = candidate.readers, unique(candidate.saved_by)
        outside = _holders(candidate)
        found = self.of(outcome, frozenset({candidate.call.index}))
        if found.difference is None:
            guess = readers or outside or candidate.by_values
            return Effect(CHANGES_RESULT, False, readers or outside) if guess else None
        if found.differs:
            return Effect(CHANGES_RESULT, True, readers or savers, found.difference)
        if found.hooks_differ:
            base, own = self.runs.out_of_place, ("call", candidate.call.index, 0)
            damage = own in outcome.beside and leaf_difference(outcome.beside[own], base.beside[own])
            hooks = tuple(place for place in readers if place.hook is not None)
            outside = outside if damage else ()
            note = _HOOK_KEEPS if candidate.held_by and outside else _HOOK_READS if hooks else None
            off = _largest(base.beside, outcome.beside)
            kept = unique(place for each in self.runs.watched.kept.values() for place in each.by)
            return Effect(CHANGES_RESULT, True, hooks + outside or kept or readers, off, note=note, outside=True)
        if found.gradients_differ:
            return Effect(CHANGES_RESULT, True, savers or readers, note=WRONG_GRADIENTS)
        return None

    def _effect_on_backward(self, candidate: Candidate, outcome: Outcome) -> Effect | None:
        alone = frozenset({candidate.call.index})
        if not self._breaks_backward(alone, outcome):
            return None
        # A call whose input nobody had saved saves its own result, in place, and somebody else writes over that.
        conflicts = [] if candidate.saved_by else self.runs.with_backward(alone).conflicts
        savers = unique(candidate.saved_by or (conflict.saver for conflict in conflicts))
        writers = unique(conflict.writer for conflict in conflicts)
        words = _words_of(outcome.backward_error)
        return Effect(BREAKS_BACKWARD, True, savers, words=words, writers=writers)

    def _breaks_backward(self, on: frozenset[int], outcome: Outcome) -> bool:
        if self.of(outcome, on).out_of_place_backward is not False:
            return outcome.backward is False
        # Backward is broken anyway. Then the calls break it if they make more saved tensors stale.
        stale, before = (len(self.runs.with_backward(each).ledger.stale) for each in (on, frozenset[int]()))
        return stale > before

    def matches_watched_pass(self, outcome: Outcome) -> bool:
        """Return whether a run gave what the watched pass did, and its gradients cannot be wrong: that is enough."""
        watched = self.runs.watched
        if outcome.forward_error is not None or outcome.backward is False or watched.hooked.read or watched.kept:
            return False
        if any(one.call.inplace and one.doubtful for one in watched.candidates):
            return False
        if outcome.backward and watched.may_spoil_gradients:
            return False
        return self.runs.apart(watched.outcome, outcome) == 0


def suspicions(candidate: Candidate) -> Iterator[Effect]:
    """Yield what a call that is off might do if it were on. No run settles it; it is just not advised."""
    if candidate.readers or candidate.held_outside:
        yield Effect(CHANGES_RESULT, False, candidate.readers or _holders(candidate))
    if candidate.saved_by:
        yield Effect(BREAKS_BACKWARD, False, unique(candidate.saved_by))
    if candidate.on_input:
        yield Effect(OVERWRITES_INPUT, False)
    hurt = candidate.readers or candidate.saved_by or candidate.on_input
    if (candidate.doubtful or candidate.by_values) and not hurt:
        yield Effect(REFUSED, False)


def _largest(a: dict[Any, Tensor], b: dict[Any, Tensor]) -> float:
    """Return the largest difference between what two runs have shown outside, where both have it."""
    return max((leaf_difference(a[number], b[number]) for number in a.keys() & b.keys()), default=0.0)


def _holders(candidate: Candidate) -> tuple[Place, ...]:
    """Return who holds what the call would overwrite, beyond the network."""
    return (candidate.held_by or (_OUTSIDE,)) if candidate.held_outside else ()


def _words_of(error: BaseException | None) -> str | None:
    return first_line(error) if error else None
