"""The check itself: one watched pass, a real run for each suspect, then the whole as written, and advice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn

from relu_demo.errors import BadInput, NetworkError, first_line
from relu_demo.network.meter import Meter
from relu_demo.network.report import (
    BREAKS_BACKWARD,
    CHANGES_RESULT,
    OVERWRITES_INPUT,
    REFUSED,
    Advice,
    AsWritten,
    Call,
    CheckReport,
    Conflict,
    Effect,
    Memory,
    Unseen,
    Write,
    unique,
)
from relu_demo.network.runs import (
    SUMMED_OTHERWISE,
    Difference,
    Outcome,
    Runner,
    compare,
    gradient_gap,
    gradients,
    uncompiled,
)
from relu_demo.network.state.contents import leaves, opaque, tensors
from relu_demo.network.state.snapshot import Snapshot
from relu_demo.network.suspects import Seen, Watch, Watched
from relu_demo.network.switch import Switch, Switched
from relu_demo.network.target import said_by
from relu_demo.network.unseen import unseen
from relu_demo.sanitizer.frames import Places
from relu_demo.sanitizer.place import Place

_ROUNDS = 8


def examine(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    train: bool | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CheckReport:
    """Return what `relu_demo.check` finds. `progress(done, total)` is told of each suspect settled, by a real run."""
    if not isinstance(model, nn.Module):
        raise BadInput(f"{_named(model)} is no torch.nn.Module; give a module, not {_article(type(model).__name__)}")
    if any(torch.nn.parameter.is_lazy(p) for p in (*model.parameters(), *model.buffers())):
        raise BadInput("the network has lazy parameters without a shape yet; run it once, then check it")
    flags = [(module, module.training) for module in model.modules()]
    try:
        if train is not None:
            model.train(train)
        return _Check(model, args, kwargs).report(progress)
    finally:
        for module, flag in flags:
            module.training = flag


@dataclass(frozen=True)
class _Verdict:
    """A real run held against everything out of place."""

    difference: float | None
    """Largest absolute difference of the result, rounding included; None if there are no values (meta)."""
    differs: bool
    """Is any of that more than rounding?"""
    gradients_differ: bool
    """The result does not differ, and its gradients do, beyond rounding."""


class _Check:
    """One check in progress: the runs that it has made, each made once and only when asked for."""

    def __init__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.model = model
        self.kept = Snapshot(model, (args, kwargs))
        self.runner = Runner(model, args, kwargs, self.kept)
        self.arguments = (args, kwargs)
        self._base: Outcome | None = None
        self._base_stale: int | None = None
        self._again: Outcome | None = None
        self._verdicts: dict[frozenset[int], _Verdict] = {}

    def report(self, progress: Callable[[int, int], None]) -> CheckReport:
        watched = self._watch(frozenset())
        seen = watched.calls
        suspects = [s for s in seen if s.written and s.suspect]
        settled = {}
        for done, suspect in enumerate(suspects):
            progress(done, len(suspects))
            settled[suspect.index] = self._settle(suspect)
        progress(len(suspects), len(suspects))
        calls = tuple(_call(s, settled.get(s.index, ())) for s in seen if s.written)
        off = tuple(_call(s, _suspicions(s)) for s in seen if not s.written)
        outcome = self.runner.run(lambda index, call: call.written)
        whole = self._as_written(outcome, watched)
        if whole.out_of_place_backward is False and any(s.again for s in seen):
            # No switch reaches what a checkpoint runs again in backward: it was in place there, as written.
            whole = replace(whole, out_of_place_backward=None)
            again = Effect(BREAKS_BACKWARD, False, words=whole.backward_error, note=_AGAIN)
            calls = tuple(replace(c, effects=c.effects or (again,)) if seen[c.index].again else c for c in calls)
        error = self.base.backward_error if whole.out_of_place_backward is False else None
        if error is not None and not isinstance(error, RuntimeError):  # PyTorch's own are RuntimeErrors
            raise NetworkError(said_by(error, "the network's backward")) from error
        writes = self._writes() if whole.out_of_place_backward is False else ()
        advice, conflicts = self._advice(calls, off, outcome, watched)
        device = next(
            (t.device.type for t in (*self.model.parameters(), *self.model.buffers(), *tensors(self.arguments))),
            "cpu",
        )
        return CheckReport(
            network=type(self.model).__name__,
            training=self.model.training,
            grad=torch.is_grad_enabled(),
            device=device,
            calls=calls,
            off=off,
            writes=writes,
            as_written=replace(whole, conflicts=conflicts),
            advice=advice,
            unseen=(*unseen(self.model, watched), *self._unsteady()),
            forwards=self.runner.forwards,
            backwards=self.runner.backwards,
            torch_version=torch.__version__,
        )

    @property
    def base(self) -> Outcome:
        """Everything out of place."""
        if self._base is None:
            self._base = self.runner.run(_NONE)
        return self._base

    def _watch(self, in_place: frozenset[int], backward: bool = False) -> Watched:
        places = Places(self.model, Runner.forward.__code__)
        try:
            inputs = self.runner.inputs()
            watch = Watch(self.kept, places, list(tensors(inputs)), in_place)
            with uncompiled():
                try:
                    result = watch.forward(lambda: self.runner.forward(inputs))
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    if self._runs_unwatched():
                        words = f"it runs, but not under watch: {shorten(first_line(error), 160)}"
                        raise BadInput(f"{type(self.model).__name__} cannot be checked; {words}") from error
                    raise NetworkError(said_by(error, "the network's forward")) from error
                stale = []
                if backward:
                    outputs = [t for t in tensors(result) if t.requires_grad]
                    # An error of another kind may end it; what was stale up to there still counts.
                    with suppress(Exception):
                        gradients(outputs, self.model)
                    stale = watch.stale()
            calls = watch.finish(result, self.model)
            held = watch.still_held(result, self.model)
            values = [(path, leaf.detach() if isinstance(leaf, Tensor) else leaf) for path, leaf in leaves(result)]
            missed = (*watch.missed, *self._without_a_look(result))
            del result
            watch.name_holders(held)
            return Watched(calls, stale, values, missed)
        finally:
            self.kept.restore()

    def _runs_unwatched(self) -> bool:
        self.kept.restore()
        # Nobody announces its writes, so all is copied that they could reach.
        self.kept.before_any_write()
        try:
            with uncompiled(), Switch(lambda _, call: call.run(False)):
                self.runner.forward(self.runner.inputs())
        except KeyboardInterrupt:
            raise
        except BaseException:
            return False
        return True

    def _settle(self, seen: Seen) -> tuple[Effect, ...]:
        """The effects of one call alone in place, by a real run."""
        base = self.base
        alone = frozenset({seen.index})
        outcome = self.runner.run(_among(alone), measure_damage=seen.held)
        if outcome.forward_error is not None:
            return (Effect(REFUSED, True, words=first_line(outcome.forward_error)),)
        return tuple(self._effects(seen, alone, base, outcome))

    def _effects(self, seen: Seen, alone: frozenset[int], base: Outcome, outcome: Outcome) -> Iterator[Effect]:
        readers = tuple(seen.readers)
        verdict = self._held_against(outcome, alone)
        if verdict.difference is None:
            if readers or seen.held or seen.by_values:
                yield Effect(CHANGES_RESULT, False, readers or ((_HELD,) if seen.held else ()))
        elif verdict.differs:
            note = None if readers or not seen.draws_otherwise else _RRELU
            yield Effect(CHANGES_RESULT, True, readers or unique(seen.saved_by), verdict.difference, note=note)
        elif seen.held and outcome.damage:
            yield Effect(CHANGES_RESULT, True, (_HELD,), outcome.damage)
        elif verdict.gradients_differ:
            by = unique(seen.saved_by) or readers
            yield Effect(CHANGES_RESULT, True, by, note="the result is the same, its gradients are not")
        if self._breaks(_among(alone), base, outcome):
            words = first_line(outcome.backward_error) if outcome.backward_error else None
            pairs = [] if seen.saved_by else self._watch(alone, backward=True).conflicts
            by = unique(seen.saved_by or (pair[0] for pair in pairs))
            yield Effect(BREAKS_BACKWARD, True, by, words=words, overwritten_by=unique(pair[2] for pair in pairs))
        if seen.on_input:
            yield Effect(OVERWRITES_INPUT, True)

    def _held_against(self, outcome: Outcome, in_place: frozenset[int]) -> _Verdict:
        """What became of a run with these calls in place; found out once, for every run gives the same."""
        if in_place not in self._verdicts:
            self._verdicts[in_place] = self._verdict(outcome, in_place)
        return self._verdicts[in_place]

    def _verdict(self, outcome: Outcome, in_place: frozenset[int]) -> _Verdict:
        """
        A run with these calls in place against everything out of place: result, kept state, gradients.

        In place can be another kernel than out of place (a loop over strides, the backward of elu from its result),
        which rounds otherwise. Where anything differs, the same calls in place on copies tell: what differs from that
        run too is no rounding, however small, and what does not is nothing else, however large.
        """
        found = self.runner.compare(self.base, outcome)
        if not found.largest and not gradient_gap(self.base, outcome):
            return _Verdict(found.largest, False, False)
        copies = self.runner.run(_among(in_place), on_copy=True)
        differs = (self.runner.compare(copies, outcome).largest or 0.0) > 0
        gradients_differ = (gap := gradient_gap(copies, outcome)) > SUMMED_OTHERWISE
        if differs or gradients_differ:
            # Some kernels of accelerators are not deterministic, nor is every network.
            differs = differs and (found.largest or 0.0) > 10 * (self._noise.largest or 0.0)
            gradients_differ = gradients_differ and gap > 10 * gradient_gap(self.base, self._second_base)
        return _Verdict(found.largest, differs, gradients_differ and not differs)

    @property
    def _second_base(self) -> Outcome:
        """Everything out of place once more: what differs from the first time is noise."""
        if self._again is None:
            self._again = self.runner.run(_NONE)
        return self._again

    @property
    def _noise(self) -> Difference:
        return self.runner.compare(self.base, self._second_base)

    def _unsteady(self) -> Iterator[Unseen]:
        if self._again is not None and self._noise.beyond_rounding:
            why = f"differs by up to {self._noise.largest:.4g} from run to run, though torch draws the same numbers"
            yield Unseen("", type(self.model).__name__, why)

    def _without_a_look(self, result: Any) -> Iterator[Unseen]:
        given = {("input", type(thing)): None for thing in opaque(self.arguments) if not isinstance(thing, nn.Module)}
        gives = {("result", type(thing)): None for thing in opaque(result) if id(thing) not in self.kept.own}
        for what, kind in (*given, *gives):
            why = f"its {what} holds {_article(kind.__name__)}, in which tensors cannot be found"
            yield Unseen("", type(self.model).__name__, why)

    def _breaks(self, in_place: Callable[[int, Switched], bool], base: Outcome, outcome: Outcome) -> bool:
        if base.backward is not False:
            return base.backward is True and outcome.backward is False
        # Backward is broken anyway. Then a call breaks it if it makes more saved tensors stale.
        if self._base_stale is None:
            self._base_stale = self.runner.run(_NONE, count_stale=True).stale
        return self.runner.run(in_place, count_stale=True).stale > self._base_stale

    def _as_written(self, outcome: Outcome, watched: Watched) -> AsWritten:
        if outcome.forward_error is not None:
            return AsWritten(None, False, first_line(outcome.forward_error), None, None, self.base.backward)
        if self._plainly_good(outcome, watched):
            return AsWritten(0.0, False, None, outcome.backward, None, outcome.backward)
        error = first_line(outcome.backward_error) if outcome.backward_error else None
        verdict = self._held_against(outcome, frozenset(s.index for s in watched.calls if s.written))
        return AsWritten(
            verdict.difference,
            verdict.differs,
            None,
            outcome.backward,
            error,
            self.base.backward,
            verdict.gradients_differ,
        )

    def _plainly_good(self, outcome: Outcome, watched: Watched) -> bool:
        """No suspect, and the values of the watched pass: a run with everything out of place could tell no more."""
        if self._base is not None or outcome.backward is False:
            return False
        return compare(watched.result, outcome.result).largest == 0

    def _writes(self) -> tuple[Write, ...]:
        saved: dict[Place, list[Place]] = {}
        for saved_by, _, place, call in self._watch(frozenset(), backward=True).conflicts:
            if call is None:
                saved.setdefault(place, []).append(saved_by)
        return tuple(Write(place, unique(by)) for place, by in saved.items())

    def _good(self, outcome: Outcome, in_place: frozenset[int], watched: Watched) -> bool:
        if outcome.forward_error is not None:
            return False
        if self._plainly_good(outcome, watched):
            return True
        verdict = self._held_against(outcome, in_place)
        if verdict.differs or verdict.gradients_differ:
            return False
        return not self._breaks(_among(in_place), self.base, outcome)

    def _advice(
        self, calls: tuple[Call, ...], off: tuple[Call, ...], as_written: Outcome, watched: Watched
    ) -> tuple[Advice, tuple[Conflict, ...]]:
        written = frozenset(call.index for call in calls)
        found: list[Conflict] = []
        on = frozenset(call.index for call in calls if call.safe)
        on, good = self._agreeable(on, frozenset(), as_written if on == written else None, watched, found)
        if not good:
            # What makes no difference with these inputs, each alone, can make one together.
            careful = frozenset(call.index for call in calls if call.safe and not call.readers)
            on, good = self._agreeable(careful, frozenset(), None, watched, found)
        switchable = {seen.index for seen in watched.calls if seen.switchable}
        wanted = frozenset(call.index for call in off if call.safe and call.bytes and call.index in switchable)
        more, more_good = on, False
        if wanted and good:
            more, more_good = self._agreeable(on | wanted, on, None, watched, [])
        turn_on = sorted(more - on) if more_good else []
        before = self._memory(on) if turn_on else None
        after = self._memory(more) if turn_on else None
        advice = Advice(tuple(sorted(written - on)), tuple(turn_on), good, before, after)
        return advice, tuple(found)

    def _agreeable(
        self,
        on: frozenset[int],
        fixed: frozenset[int],
        outcome: Outcome | None,
        watched: Watched,
        found: list[Conflict],
    ) -> tuple[frozenset[int], bool]:
        """
        The switches that can be on together: `on` less those that are in each other's way. `fixed` stay on.

        A call that saves its result when in place, and its input when not, can be safe alone and still be in the way
        of the next (leaky_relu, then dropout). A watched pass with the switches on, and its backward, tells which.
        """
        for _ in range(_ROUNDS):
            outcome = outcome or self.runner.run(_among(on))
            if self._good(outcome, on, watched):
                return on, True
            if outcome.forward_error is not None or outcome.backward is not False:
                return on, False
            pairs = self._watch(on, backward=True).conflicts
            pairs = [pair for pair in pairs if pair[3] in on or pair[1] in on]
            found += [Conflict(*pair) for pair in dict.fromkeys(pairs)]
            away = {writer if writer in on - fixed else saver for _, saver, _, writer in pairs} - fixed - {None}
            if not away & on:
                return on, False
            on, outcome = on - frozenset(index for index in away if index is not None), None
        return on, False

    def _memory(self, on: frozenset[int]) -> Memory:
        meter = Meter()
        try:
            inputs = self.runner.inputs()
            with uncompiled(), Switch(lambda index, call: call.run(index in on)), meter:
                result = self.runner.forward(inputs)
            memory = meter.read()
            del result
            return memory
        finally:
            self.kept.restore()


def _among(chosen: frozenset[int]) -> Callable[[int, Switched], bool]:
    return lambda index, call: index in chosen


_NONE = _among(frozenset())
_RRELU = "PyTorch's rrelu gives other random numbers in place, for a tensor that is not contiguous"
_AGAIN = "it runs again in backward (torch.utils.checkpoint), where the check cannot put it out of place"
_HELD = Place("held after the forward by a hook, a closure or a global", "")


def _call(seen: Seen, effects: Iterable[Effect]) -> Call:
    return Call(
        seen.index,
        seen.place,
        seen.written,
        seen.shape,
        seen.dtype,
        seen.bytes,
        tuple(effects),
        tuple(seen.readers),
        seen.result_used,
    )


def _suspicions(seen: Seen) -> Iterator[Effect]:
    """Of a call that is off: what it might do if it were on. No run settles it; it is just not advised."""
    if seen.readers or seen.held:
        yield Effect(CHANGES_RESULT, False, tuple(seen.readers) or (_HELD,))
    if seen.saved_by:
        yield Effect(BREAKS_BACKWARD, False, unique(seen.saved_by))
    if seen.on_input:
        yield Effect(OVERWRITES_INPUT, False)
    if (seen.doubtful or seen.by_values) and not (seen.readers or seen.saved_by or seen.on_input):
        yield Effect(REFUSED, False)


def _named(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
