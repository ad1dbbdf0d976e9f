"""What the real runs say: the effects of each call alone, and of the network as written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from relu_demo.errors import NetworkError, first_line
from relu_demo.network.candidate import Candidate
from relu_demo.network.gradients import SUMMED_OTHERWISE, gradient_gap
from relu_demo.network.outcome import Difference, Leaves, Outcome, difference
from relu_demo.network.report import (
    BREAKS_BACKWARD,
    CHANGES_RESULT,
    GRADIENTS_ALONE,
    OVERWRITES_INPUT,
    OVERWRITTEN_WORDS,
    AsWritten,
    Effect,
    EffectKind,
    HarmfulWrite,
    Unseen,
    unique,
)
from relu_demo.network.runs import Runs
from relu_demo.network.target import said_by
from relu_demo.sanitizer.place import Place
from relu_demo.watching.report import REFUSED

_RRELU = "PyTorch's rrelu gives other random numbers in place, for a tensor that is not contiguous"
_OUTSIDE = Place("held after the forward by a hook, a closure or a global", "")
_HOOK_READS = "or look in a forward pre-hook, which sees the input before"
_HOOK_KEEPS = "or keep a clone() in the hook"
_ABOVE_NOISE = 10
"""A fault is more than so many times what two equal runs differ by."""


@dataclass(frozen=True)
class Verdict:
    """A real run against everything out of place."""

    difference: float | None
    """Largest absolute difference of the result, rounding included; None if there are no values (meta)."""
    differs: bool
    """Whether any of that is more than rounding."""
    gradients_differ: bool
    """Whether the gradients differ beyond rounding, and the result does not."""
    hooks_differ: float = 0.0
    """How far what hooks see and keep differs, where that is more than rounding."""


class Verdicts:
    """Compares real runs with everything out of place; each set of calls in place once, for every run is the same."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self._found: dict[frozenset[int], Verdict] = {}

    def effects(self, candidate: Candidate) -> tuple[Effect, ...]:
        """Run the network with this call alone in place, and return what that does."""
        if candidate.is_harmless_here:
            return (Effect(OVERWRITES_INPUT, False),) if candidate.on_input else ()
        base = self._base()
        outcome = self.runs.alone(candidate.index, measure_change=candidate.on_input)
        if outcome.forward_error is not None:
            words = first_line(outcome.forward_error)
            # A backward inside of the forward: a gradient penalty.
            made = (candidate.made_by,) if candidate.made_by is not None else ()
            savers = unique(candidate.saved_then) if OVERWRITTEN_WORDS in words else made
            return (Effect(REFUSED, True, savers, words=words),)
        found = [
            self._effect_on_result(candidate, outcome),
            self._effect_on_backward(candidate, base, outcome),
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

    def of(self, outcome: Outcome, on: frozenset[int]) -> Verdict:
        """Return the verdict on a run with the calls in `on` in place: its result, state and gradients."""
        if on not in self._found:
            self._found[on] = self._verdict(outcome, on)
        return self._found[on]

    def good(self, outcome: Outcome, on: frozenset[int]) -> bool:
        """Return whether a run with the calls in `on` in place does what everything out of place does."""
        if outcome.forward_error is not None:
            return False
        if self._plainly_good(outcome):
            return True
        verdict = self.of(outcome, on)
        if verdict.differs or verdict.gradients_differ or verdict.hooks_differ:
            return False
        return not self._breaks_backward(on, self.runs.out_of_place, outcome)

    def is_good_as_written(self) -> bool:
        """Return whether the network as written does what it does out of place."""
        return self.good(self.runs.as_written, self._written)

    @property
    def _written(self) -> frozenset[int]:
        return frozenset(call.index for call in self.runs.watched.candidates if call.inplace) - self.runs.meant

    def as_written(self) -> AsWritten:
        """Return what the network does with each call as its own switch says."""
        outcome = self.runs.as_written
        if outcome.forward_error is not None:
            self._base()
            words = first_line(outcome.forward_error)
            return AsWritten(None, False, words, None, None, self.runs.out_of_place.backward)
        if self._plainly_good(outcome):
            return AsWritten(0.0, False, None, outcome.backward, None, outcome.backward)
        verdict = self.of(outcome, self._written)
        return AsWritten(
            verdict.difference,
            verdict.differs,
            None,
            outcome.backward,
            _words(outcome.backward_error),
            self.runs.out_of_place.backward,
            verdict.gradients_differ or (not verdict.differs and self._overwrites_in_backward(outcome)),
            hooks_differ=verdict.hooks_differ > 0,
        )

    def _overwrites_in_backward(self, outcome: Outcome) -> bool:
        return self.runs.watched.runs_in_backward and self.overwrites_silently(outcome)

    def overwrites_silently(self, outcome: Outcome) -> bool:
        """Return whether a run's gradients are other ones if no write reaches what autograd has saved."""
        if outcome.backward is not True:
            return False
        copies = self.runs.on_saved_copies
        known = outcome.gradients.keys() & copies.gradients.keys()
        outcome = replace(outcome, gradients={i: outcome.gradients[i] for i in known})
        gap = gradient_gap(outcome, replace(copies, gradients={i: copies.gradients[i] for i in known}))
        noise = gradient_gap(self.runs.out_of_place, self.runs.out_of_place_again) if gap > SUMMED_OTHERWISE else 0.0
        return gap > max(SUMMED_OTHERWISE, _ABOVE_NOISE * noise)

    def overwriting(self, whole: AsWritten) -> tuple[HarmfulWrite, ...]:
        """
        Return the writes without a switch to what somebody has saved, where the network as written is not right.

        If there are none, all in backward: what it is given may be another's, too.
        """
        found = self.runs.watch(self._written, backward=True)
        savers = {place: list(by) for place, by in found.in_backward.items() if by}
        for conflict in found.conflicts:
            if conflict.writer_call is None or conflict.writer_call in self.runs.meant:
                savers.setdefault(conflict.writer, []).append(conflict.saver)
        savers = savers or found.in_backward
        kind: EffectKind = BREAKS_BACKWARD if whole.backward is False else CHANGES_RESULT
        return tuple(HarmfulWrite(place, unique(by), kind) for place, by in savers.items())

    def other_writes(self) -> tuple[HarmfulWrite, ...]:
        """
        Return the in-place writes without a switch that break backward, everything else out of place.

        Raise NetworkError if backward raises something that is no RuntimeError, as PyTorch's own errors are.
        """
        error = self.runs.out_of_place.backward_error
        if error is not None and not isinstance(error, RuntimeError):
            raise NetworkError(said_by(error, "the network's backward")) from error
        savers: dict[Place, list[Place]] = {}
        for conflict in self.runs.conflicts(frozenset()):
            if conflict.writer_call is None or conflict.writer_call in self.runs.meant:
                savers.setdefault(conflict.writer, []).append(conflict.saver)
        writes = (HarmfulWrite(place, unique(saved_by)) for place, saved_by in savers.items())
        return (*self.runs.watched.lost_views, *writes)

    def unsteady(self) -> Iterator[Unseen]:
        """Say so if equal runs were seen to differ, though torch draws the same random numbers."""
        if self.runs.was_made("out_of_place_again") and self._noise.beyond_rounding:
            why = f"differs by up to {self._noise.largest:.4g} from run to run, though torch draws the same numbers"
            yield Unseen("", type(self.runs.network).__name__, why)

    @property
    def _noise(self) -> Difference:
        return self.runs.apart(self.runs.out_of_place, self.runs.out_of_place_again)

    @property
    def _noise_in_hooks(self) -> float:
        seen, again = self.runs.out_of_place.seen_by_hooks, self.runs.out_of_place_again.seen_by_hooks
        return _ABOVE_NOISE * _largest(seen, again)

    def _verdict(self, outcome: Outcome, on: frozenset[int]) -> Verdict:
        """
        Compare result, state and gradients with everything out of place.

        In place can be another kernel than out of place (a loop over strides, the backward of elu from its result),
        which rounds otherwise. So where anything differs, the same calls run in place on copies too: with the same
        kernels, and nothing overwritten. What differs from that run as well is a fault, however small; the rest is
        rounding, however large. That run is not needed where the call alone was seen to round the same.
        """
        runs = self.runs
        found = runs.apart(runs.out_of_place, outcome)
        seen = _largest(runs.out_of_place.seen_by_hooks, outcome.seen_by_hooks)
        # Where backward raises with everything out of place, only the run on copies has gradients.
        lone = runs.out_of_place.backward is False and outcome.backward is True
        if not (found.largest or seen or lone or gradient_gap(runs.out_of_place, outcome)):
            return Verdict(found.largest, False, False)
        if outcome.rounds_alike and found.largest:
            differs = found.largest > _ABOVE_NOISE * (self._noise.largest or 0.0)
            return Verdict(found.largest, differs, False, seen if differs else 0.0)
        copies = runs.on_copies(on)
        if seen and (not _largest(copies.seen_by_hooks, outcome.seen_by_hooks) or seen <= self._noise_in_hooks):
            seen = 0.0
        differs = (runs.apart(copies, outcome).largest or 0.0) > 0
        gap = gradient_gap(copies, outcome)
        gradients_differ = gap > SUMMED_OTHERWISE
        if differs or gradients_differ:
            # Some kernels of accelerators are not deterministic, nor is every network.
            differs = differs and (found.largest or 0.0) > _ABOVE_NOISE * (self._noise.largest or 0.0)
            noise = gradient_gap(runs.out_of_place, runs.out_of_place_again)
            gradients_differ = gradients_differ and gap > _ABOVE_NOISE * noise
        return Verdict(found.largest, differs, gradients_differ and not differs, seen)

    def _effect_on_result(self, candidate: Candidate, outcome: Outcome) -> Effect | None:
        readers, savers = tuple(candidate.readers), unique(candidate.saved_by)
        outside = _holders(candidate)
        verdict = self.of(outcome, frozenset({candidate.index}))
        if verdict.difference is None:
            guess = readers or outside or candidate.by_values
            return Effect(CHANGES_RESULT, False, readers or outside) if guess else None
        if verdict.differs:
            note = None if readers or not candidate.draws_otherwise else _RRELU
            return Effect(CHANGES_RESULT, True, readers or savers, verdict.difference, note=note)
        hooks = _in_hooks(candidate) if verdict.hooks_differ else ()
        damage = self.runs.damage(candidate.index, outcome)
        outside = outside if damage else ()
        if verdict.hooks_differ or outside:
            off = max(damage, verdict.hooks_differ)
            note = _HOOK_KEEPS if candidate.held_by and outside else _HOOK_READS if hooks else None
            return Effect(CHANGES_RESULT, True, hooks + outside or readers, off, note=note, outside=True)
        if verdict.gradients_differ:
            return Effect(CHANGES_RESULT, True, savers or readers, note=GRADIENTS_ALONE)
        return None

    def _effect_on_backward(self, candidate: Candidate, base: Outcome, outcome: Outcome) -> Effect | None:
        alone = frozenset({candidate.index})
        if not self._breaks_backward(alone, base, outcome):
            return None
        # A call whose input nobody had saved saves its own result, in place, and somebody else writes over that.
        conflicts = [] if candidate.saved_by else self.runs.conflicts(alone)
        savers = unique(candidate.saved_by or (conflict.saver for conflict in conflicts))
        writers = unique(conflict.writer for conflict in conflicts)
        words = _words(outcome.backward_error)
        return Effect(BREAKS_BACKWARD, True, savers, words=words, writers=writers)

    def _breaks_backward(self, on: frozenset[int], base: Outcome, outcome: Outcome) -> bool:
        if base.backward is not False:
            return outcome.backward is False
        # Backward is broken anyway. Then the calls break it if they make more saved tensors stale.
        stale = self.runs.stale_out_of_place
        return self.runs.stale(on) > stale

    def _plainly_good(self, outcome: Outcome) -> bool:
        """Return whether there was no suspect, and a run gave what the watched pass did: no further run is needed."""
        watched = self.runs.watched
        if self.runs.was_made("out_of_place") or outcome.backward is False or watched.looks.read or watched.looks.kept:
            return False
        if watched.runs_in_backward and outcome.backward is True:
            return False
        return self.runs.apart(watched.outcome, outcome).largest == 0


def suspicions(candidate: Candidate) -> tuple[Effect, ...]:
    """Return what a call that is off might do if it were on. No run settles it; it is just not advised."""
    return tuple(_suspicions(candidate))


def _suspicions(candidate: Candidate) -> Iterator[Effect]:
    if candidate.readers or candidate.held_outside:
        yield Effect(CHANGES_RESULT, False, tuple(candidate.readers) or _holders(candidate))
    if candidate.saved_by:
        yield Effect(BREAKS_BACKWARD, False, unique(candidate.saved_by))
    if candidate.on_input:
        yield Effect(OVERWRITES_INPUT, False)
    hurt = candidate.readers or candidate.saved_by or candidate.on_input
    if (candidate.doubtful or candidate.by_values) and not hurt:
        yield Effect(REFUSED, False)


def _largest(a: Leaves, b: Leaves) -> float:
    """Return the largest difference of what hooks saw in two runs, where both have it."""
    both = {path for path, _ in a} & {path for path, _ in b}
    mine, theirs = ([(path, leaf) for path, leaf in leaves if path in both] for leaves in (a, b))
    return difference(mine, theirs).largest or 0.0


def _holders(candidate: Candidate) -> tuple[Place, ...]:
    """Return who holds what the call would overwrite, beyond the network."""
    return (candidate.held_by or (_OUTSIDE,)) if candidate.held_outside else ()


def _in_hooks(candidate: Candidate) -> tuple[Place, ...]:
    """Return which hooks read what the call would overwrite."""
    return tuple(place for place in candidate.readers if place.hook is not None)


def _words(error: BaseException | None) -> str | None:
    return first_line(error) if error else None
