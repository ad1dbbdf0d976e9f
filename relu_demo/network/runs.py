"""The runs of a network that a check makes, all from the same state, the same inputs and the same random numbers."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from textwrap import shorten
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from relu_demo.errors import BadInput, NetworkError, first_line
from relu_demo.network.candidate import Candidate, mark_held
from relu_demo.network.gradients import Gradients, digest_gradients, gradients
from relu_demo.network.hooked import Looks, Seeing, has_hooks, told_of_modules
from relu_demo.network.meter import Meter
from relu_demo.network.outcome import Difference, Outcome, difference, leaf_difference
from relu_demo.network.report import Conflict, HarmfulWrite, Memory, Unseen
from relu_demo.network.state.copies import copy_inputs
from relu_demo.network.state.snapshot import Snapshot
from relu_demo.network.state.walk import attribute_tensors, leaves, tensors
from relu_demo.network.suspects import InBackward, Suspects
from relu_demo.network.switch import Switch, Switched, copy_laid_out_the_same, in_each_backward
from relu_demo.network.target import said_by
from relu_demo.network.unseen import without_a_look
from relu_demo.sanitizer.frames import InstructionSite, instruction_site
from relu_demo.sanitizer.layers import Layers
from relu_demo.sanitizer.ledger import Ledger, Stale
from relu_demo.sanitizer.observer import Observer
from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.unsupported import stepping_aside, without_checkpoints
from relu_demo.tensors.graph import next_number
from relu_demo.tensors.storage import Region, elements_in, is_freed, is_strided, key_of, values_now

Inputs = tuple[tuple[Any, ...], dict[str, Any]]
_NOBODY = Place("", "")
_OF_BACKWARD = -1
_UNTOLD = Place("a write that PyTorch tells nobody of (apply_, NumPy)", "")


@dataclass
class Watched:
    """What a run under watch gave."""

    candidates: list[Candidate]
    """The calls that can be in place, in order."""
    over_input: tuple[Place, ...]
    """Where other writes reach an input of the network."""
    past_autograd: dict[Place, list[Place]]
    """Other writes of which autograd does not know, each with who saved what it overwrites."""
    maybe_meant: tuple[tuple[Place, Place], ...]
    """Such writes that may be meant, each with who reads that memory later or has saved it."""
    lost_views: tuple[HarmfulWrite, ...]
    """Other writes that make PyTorch refuse a view that the network returns or keeps."""
    conflicts: list[Conflict]
    """
    Each stale tensor that backward unpacked, with each write that made it so, in the order of the writes.

    As if no checkpoint ran anything again.
    """
    in_backward: dict[Place, list[Place]]
    """Writes of the user's own code in backward, each with who has saved what it overwrites."""
    runs_in_backward: bool
    """Whether code that is not PyTorch's may run in backward: an autograd.Function, a checkpoint."""
    outcome: Outcome
    """Its result, and what it has left in the network; nothing of a backward."""
    looks: Looks
    """What hooks look at."""
    missed: tuple[Unseen, ...]
    """What ran where no mode reaches, and what tensors cannot be found in."""


class Runs:
    """
    Runs one network on one input. The runs that a check asks for more than once are properties, made once.

    After each run the network is as it was. `layers`: where layers stand in the source. `forwards` and `backwards`
    count all of them.
    """

    def __init__(self, network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], layers: Layers) -> None:
        self.network = network
        self.layers = layers
        self.arguments: Inputs = (args, kwargs)
        self.snapshot = Snapshot(network, self.arguments)
        # The snapshot keeps them alive, so that their ids stay theirs.
        self._kept_before = {id(tensor) for tensor in self.snapshot.attributes.values()}
        self.meant: frozenset[int] = frozenset()
        """The calls, by index, that are meant to be in place, and are in every run."""
        self._foreign: set[int] = set()
        """The calls, by index, whose input's memory is older than the forward, and not the network's."""
        self._has_hooks = any(map(has_hooks, network.modules()))
        self.refused: HarmfulWrite | None = None
        """The write that PyTorch refuses whatever runs out of place, once the watched pass has raised."""
        self.refused_words = ""
        self.forwards = 0
        self.backwards = 0
        self._since = 0.0
        """The number above which nodes of autograd's graph are the last forward's."""

    @cached_property
    def watched(self) -> Watched:
        """Everything out of place, under watch, without a backward. Raise BadInput or NetworkError as `watch` does."""
        found = self.watch(frozenset(), backward=False)
        unused = {call.index for call in found.candidates if not (call.takes_inplace or call.result_used)}
        if unused - self.meant:
            # Who does not use the result of a write means the write.
            self.meant |= unused
            found = self.watch(frozenset(), backward=False)
        return found

    @cached_property
    def out_of_place(self) -> Outcome:
        """Everything out of place: what each other run is compared with."""
        return self._run(lambda index, call: self._call(index, call, False), holding=self._held.keys())

    @cached_property
    def out_of_place_again(self) -> Outcome:
        """Everything out of place once more: what differs from the first time is noise."""
        return self.in_place(frozenset())

    @cached_property
    def as_written(self) -> Outcome:
        """Each call as its own switch says."""
        return self._run(lambda index, call: self._call(index, call, call.inplace))

    @cached_property
    def stale_out_of_place(self) -> int:
        """Stale tensors that backward unpacks with everything out of place."""
        return self.stale(frozenset())

    def was_made(self, run: str) -> bool:
        """Return whether the property of that name has been asked for."""
        return run in vars(self)

    def in_place(self, on: frozenset[int]) -> Outcome:
        """Run with the calls in `on` (indices) in place, all others out of place. A new run each time."""
        return self._run(lambda index, call: self._call(index, call, index in on))

    def alone(self, index: int, measure_change: bool) -> Outcome:
        """Run with one call in place; on demand with `Outcome.changed` measured."""
        changed: list[float] = []
        alike: list[bool] = []

        def decide(i: int, call: Switched) -> Any:
            if i != index:
                return self._call(i, call, False)
            alike.append(call.rounds_alike())
            if not measure_change:
                return self._call(i, call, True)
            now, before = call.input.detach(), call.input.detach().clone()
            result = self._call(i, call, True)
            changed.append(leaf_difference(now, before))
            return result

        outcome = self._run(decide, holding={index} & self._held.keys())
        outcome.changed, outcome.rounds_alike = sum(changed), any(alike)
        return outcome

    def damage(self, index: int, outcome: Outcome) -> float:
        """Return how far a run with that call alone leaves what is held of its input otherwise than out of place."""
        base = self.out_of_place.held
        return leaf_difference(outcome.held[index], base[index]) if index in outcome.held and index in base else 0.0

    def on_copies(self, on: frozenset[int]) -> Outcome:
        """Run the calls in `on` in place on copies: with the roundings of in place, and without overwriting."""
        return self._run(
            lambda index, call: call.run_on_copy() if index in on - self.meant else self._call(index, call, False)
        )

    def stale(self, on: frozenset[int]) -> int:
        """Run with the calls in `on` in place, and count the stale tensors that backward unpacks, to its end."""
        ledger = Ledger()
        hooks = saved_tensors_hooks(partial(ledger.saved, place=_NOBODY), ledger.unpacked)
        self._run(lambda index, call: self._call(index, call, index in on), hooks)
        return len(ledger.stale)

    @cached_property
    def on_saved_copies(self) -> Outcome:
        """As written, but no checkpoint runs anything again, and no write reaches what autograd has saved."""
        hooks = saved_tensors_hooks(lambda tensor: copy_laid_out_the_same(tensor.detach()), lambda copy: copy)
        with without_checkpoints():
            return self._run(lambda index, call: self._call(index, call, call.inplace), hooks)

    def conflicts(self, on: frozenset[int]) -> list[Conflict]:
        """Run under watch with the calls in `on` in place, then backward: who wrote over what somebody had saved."""
        return self.watch(on, backward=True).conflicts

    def memory(self, on: frozenset[int]) -> Memory:
        """Measure the memory of one forward with the calls in `on` in place."""
        meter = Meter()
        try:
            inputs = self._inputs()
            with _aside(), Switch(lambda index, call: self._call(index, call, index in on)), meter:
                result = self._forward(inputs)
            memory = meter.read()
            del result
            return memory
        finally:
            self.snapshot.restore()

    def watch(self, in_place: frozenset[int], backward: bool) -> Watched:
        """
        Run under watch, the calls in `in_place` in place, and backward if asked for.

        Raise BadInput if the network runs only unwatched, NetworkError if its forward raises.
        """
        try:
            inputs = self._inputs()
            mine, given = list(tensors(self.arguments)), list(tensors(inputs))
            suspects = Suspects(self.network, self.snapshot, given, self.layers, in_place | self.meant)
            in_backward = InBackward(suspects.ledger)
            with stepping_aside(suspects.unwatched), without_checkpoints() as checkpoints:
                result = self._forward_watched(inputs, suspects)
                if backward:
                    self.snapshot.before_any_write()
                    # An error of another kind may end it; what was stale up to there still counts.
                    with suppress(Exception), Observer(in_backward):
                        gradients(self._outputs(result, self._left()), self.network, self._since)
            self.meant |= suspects.meant
            suspects.finish(result)
            if not suspects.over_input and not in_place and _are_overwritten(given, mine):
                suspects.over_input[_UNTOLD] = None
            self._foreign |= {call.index for call in suspects.candidates if call.foreign}
            held = suspects.held_in_secret()
            outcome = Outcome()
            self._note(outcome, result, suspects.attributes)
            blind = without_a_look(type(self.network).__name__, self.arguments, result, self.snapshot.own)
            missed = (*suspects.missed, *blind)
            del result
            mark_held(held, suspects.hooked)
            looks = suspects.hooked.looks(suspects.is_known)
            return Watched(
                suspects.candidates,
                tuple(suspects.over_input),
                suspects.past_autograd,
                tuple(suspects.maybe_meant),
                tuple(suspects.lost_views),
                _conflicts(suspects.ledger.stale),
                in_backward.writes,
                suspects.applied or bool(checkpoints),
                outcome,
                looks,
                missed,
            )
        finally:
            self.snapshot.restore()

    def apart(self, a: Outcome, b: Outcome) -> Difference:
        """Return the difference of two runs' results, and of what the network keeps for its next forward."""
        now = self.snapshot.overwritten()
        # What was not copied when a run began, that run has not written to: it is as it is now.
        states = [[(str(i), run.state.get(i, now[i])) for i in now] for run in (a, b)]
        return difference(a.result + a.attributes + states[0], b.result + b.attributes + states[1])

    def _inputs(self) -> Inputs:
        self._since = next_number()
        copied: Inputs = copy_inputs(self.arguments, self.snapshot.own, self.snapshot.holds)
        return copied

    def _forward(self, inputs: Inputs) -> Any:
        self.forwards += 1
        try:
            return self.network(*inputs[0], **inputs[1])
        finally:
            self.snapshot.restore_modes()

    def _forward_watched(self, inputs: Inputs, suspects: Suspects) -> Any:
        try:
            observer = Observer(suspects)
            with observer, told_of_modules(observer.unseen(suspects.hooked.event)), suspects.functions():
                return self._forward(inputs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.meant |= suspects.meant
            self.refused, self.refused_words = suspects.refused_write(error), first_line(error)
            if self._runs_unwatched():
                words = f"it runs, but not under watch: {shorten(first_line(error), 160)}"
                raise BadInput(f"{type(self.network).__name__} cannot be checked; {words}") from error
            if self._runs_unwatched(as_written=True):
                whose = "the network runs as written, but with everything out of place its forward"
                raise NetworkError(f"{said_by(error, whose)}; it relies on the overwriting") from error
            raise NetworkError(said_by(error, "the network's forward")) from error

    def _runs_unwatched(self, as_written: bool = False) -> bool:
        self.snapshot.restore()
        # Nobody announces its writes, so all is copied that they could reach.
        self.snapshot.before_any_write()
        try:
            with _aside(), Switch(lambda index, call: self._call(index, call, as_written and call.inplace)):
                self._forward(self._inputs())
        except KeyboardInterrupt:
            raise
        except BaseException:
            return False
        return True

    def _call(self, index: int, call: Switched, in_place: bool) -> Any:
        if in_place or index in self.meant:
            self.snapshot.before_write(key_of(call.input))
            if index in self._foreign:
                self.snapshot.adopt(call.input)
            return call.run(True)
        return call.run(False)

    def _run(
        self,
        decide: Callable[[int, Switched], Any],
        hooks: AbstractContextManager[Any] | None = None,
        holding: Collection[int] = (),
    ) -> Outcome:
        """
        Make one real run, forward and backward.

        `decide(index, call)` runs each call that takes `inplace=`: with the same index once more where a checkpoint
        runs it again, with `_OF_BACKWARD` where only backward does. `holding`: the calls of which `Outcome.held` is
        recorded.
        """
        outcome = Outcome()
        held: dict[int, Tensor] = {}
        sites: list[tuple[int, InstructionSite | None]] = []

        def run(index: int, call: Switched) -> Any:
            if index in holding:
                held[index] = call.input.detach()
            if self.watched.runs_in_backward:
                sites.append((index, instruction_site()))
            return decide(index, call)

        def run_again(index: int, call: Switched) -> Any:
            here = instruction_site()
            before = [pair for pair in sites if pair[1] is not None and here is not None and here.is_again(pair[1])]
            if before:  # the same line may run more than once: in the same order again
                sites.remove(before[0])
                sites.append(before[0])
            return decide(before[0][0] if before else _OF_BACKWARD, call)

        # Nobody announces what this run writes: a write may depend on values, or a hook may write in backward.
        self.snapshot.before_any_write()
        try:
            inputs = self._inputs()
            seeing = Seeing(self.watched.looks)
            told = told_of_modules(seeing.event) if self._has_hooks else nullcontext()
            # The mode is on for the network alone: each attribute of a tensor that is asked for would go through it.
            switch = Switch(run)
            with _aside(), hooks or nullcontext(), told:
                try:
                    with switch:
                        result = self._forward(inputs)
                except (Exception, SystemExit) as error:
                    outcome.forward_error = _without_frames(error)
                    return outcome
                left = self._left()
                seeing.end()
                outcome.seen_by_hooks = seeing.seen
                self._note(outcome, result, left)
                outcome.held = {index: self._held_of(index, tensor) for index, tensor in held.items()}
                with in_each_backward(Switch(run_again)):
                    found = self._backward(outcome, result, left)
                digest_gradients(outcome, found, [*self.snapshot.parameters, *tensors(inputs)])
            return outcome
        finally:
            self.snapshot.restore()

    @cached_property
    def _held(self) -> dict[int, tuple[Region, ...]]:
        """By index: the regions of its input's storage that something outside holds; none where all may be held."""
        return {call.index: call.held_in for call in self.watched.candidates if call.held_outside}

    def _held_of(self, index: int, tensor: Tensor) -> Tensor:
        """Return a copy of what is held of the input of a call."""
        regions = self._held[index]
        if not regions or is_freed(tensor) or tensor.device.type == "meta" or not is_strided(tensor):
            return values_now(tensor)
        return tensor[elements_in(tensor, regions).to(tensor.device)]

    def _left(self) -> dict[str, Tensor]:
        """Return the tensors that are in plain attributes of the network now, by name."""
        return attribute_tensors(self.network)

    def _note(self, outcome: Outcome, result: Any, left: dict[str, Tensor]) -> None:
        outcome.result = [(path, _detached(leaf)) for path, leaf in leaves(result)]
        outcome.state = {i: values_now(tensor) for i, tensor in self.snapshot.note_overwritten().items()}
        buffers = self.network.named_buffers()
        left = left | {name: buffer for name, buffer in buffers if not self.snapshot.holds(key_of(buffer))}
        # The network's own are in its state, too, with their values.
        outcome.attributes = [
            (name, tensor if id(tensor) in self._kept_before else values_now(tensor)) for name, tensor in left.items()
        ]

    def _outputs(self, result: Any, left: dict[str, Tensor]) -> list[Tensor]:
        """Return what backward can begin from: in the result, and in what the forward has left in attributes."""
        new = [tensor for tensor in left.values() if id(tensor) not in self._kept_before]
        found = [t for t in tensors(result) if t.requires_grad] + [t for t in new if t.grad_fn is not None]
        return list({id(tensor): tensor for tensor in found}.values())

    def _backward(self, outcome: Outcome, result: Any, left: dict[str, Tensor]) -> Gradients:
        """Run backward, note whether that went well, and return the gradients."""
        try:
            # Of one of several views, whose base was written to, PyTorch refuses to tell its grad_fn.
            outputs = self._outputs(result, left)
            if not outputs:
                return []
            self.backwards += 1
            found = gradients(outputs, self.network, self._since)
        except Exception as error:
            outcome.backward, outcome.backward_error = False, _without_frames(error)
            return []
        outcome.backward = True
        return found


def _are_overwritten(copies: list[Tensor], originals: list[Tensor]) -> bool:
    """Whether a forward has written to the copies that it was given of the caller's tensors."""
    return any(a is not b and leaf_difference(a, b) > 0 for a, b in zip(copies, originals, strict=True))


def _aside() -> AbstractContextManager[None]:
    """Run as the watched pass does, which has said what it did not see."""
    return stepping_aside(lambda what, why: None)


def _conflicts(stale: list[Stale]) -> list[Conflict]:
    pairs = [(found.saver, writer) for found in stale for writer in found.writers]
    pairs.sort(key=lambda pair: (pair[1].number, pair[0].number))
    return [Conflict(saver.place, saver.call, writer.place, writer.call) for saver, writer in pairs]


def _detached(leaf: Any) -> Any:
    return values_now(leaf) if isinstance(leaf, Tensor) else leaf


def _without_frames(error: BaseException) -> BaseException:
    # The traceback's frames would keep every activation alive.
    traceback.clear_frames(error.__traceback__)
    return error.with_traceback(None)
