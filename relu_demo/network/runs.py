"""The runs of a network that a check makes, all from the same state, the same inputs and the same random numbers."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cached_property
from textwrap import shorten
from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from relu_demo.errors import BadInput, NetworkError, first_line, with_article
from relu_demo.network.hooks import Reading, told_of_modules
from relu_demo.network.meter import Meter
from relu_demo.network.outcome import Gradients, Outcome, difference, digests, gradients, leaf_difference
from relu_demo.network.report import HarmfulWrite, Memory, Unseen
from relu_demo.network.state.copies import copy_inputs
from relu_demo.network.state.snapshot import Snapshot
from relu_demo.network.state.walk import attribute_tensors, leaves, opaque, tensors
from relu_demo.network.suspects import Suspects
from relu_demo.network.switch import Switch, Switched, copy_laid_out_the_same, in_each_backward
from relu_demo.network.target import said_by
from relu_demo.sanitizer.frames import InstructionSite, instruction_site
from relu_demo.sanitizer.layers import Layers
from relu_demo.sanitizer.observer import Observer
from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.unsupported import stepping_aside, without_checkpoints
from relu_demo.tensors.graph import next_number, nodes_behind
from relu_demo.tensors.storage import key_of, values_now

Inputs = tuple[tuple[Any, ...], dict[str, Any]]
Decide = Callable[[int, Switched], Any]
"""Runs a call that takes `inplace=`, by its index, in place or not, and returns its result."""

_OF_BACKWARD = -1
_UNTRACED_WRITE = Place("a write that PyTorch tells nobody of (apply_, NumPy)", "")


class Runs:
    """Runs one network on one input, as often as needed, each time from the same state: `snapshot` puts it back."""

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
        self._has_hooks = any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
        self.refused: HarmfulWrite | None = None
        """The write that PyTorch refuses whatever runs out of place, once the watched pass has raised."""
        self.refused_words = ""
        self.forwards = 0
        self.backwards = 0
        self._since = 0
        """The number above which nodes of autograd's graph are the last forward's."""
        self._in_place: dict[frozenset[int], Outcome] = {}
        self._with_backward: dict[frozenset[int], Suspects] = {}

    @cached_property
    def watched(self) -> Suspects:
        """Everything out of place, under watch, without a backward. Raise BadInput or NetworkError as `watch` does."""
        found = self.watch(frozenset(), backward=False)
        others = [one for one in found.candidates if one.call.index not in self.meant]
        # Nor does who uses the result in another round of a loop.
        used = {one.instruction for one in others if not one.is_dropped}
        meant = {one.call.index for one in others if one.is_meant and one.instruction not in used}
        if meant:
            self.meant |= meant
            found = self.watch(frozenset(), backward=False)
        return found

    def in_place(self, on: frozenset[int]) -> Outcome:
        """Run with the calls in `on` (indices) in place, all others out of place."""
        if on not in self._in_place:
            same = on and on == self.written and not self.as_written.writes_in_backward
            self._in_place[on] = self.as_written if same else self._run(self._only(on))
        return self._in_place[on]

    @property
    def out_of_place(self) -> Outcome:
        """Everything out of place: what each other run is compared with."""
        return self.in_place(frozenset())

    @cached_property
    def written(self) -> frozenset[int]:
        """The calls, by index, that the source has in place and that are not meant to be."""
        return frozenset(one.call.index for one in self.watched.candidates if one.call.inplace) - self.meant

    @cached_property
    def repeated(self) -> tuple[Outcome, ...]:
        """Everything out of place, and once more: what these differ by is noise.

        Two more in a row where an iterator moves on with each run: one that alternates may be as it was at first.
        """
        again = self._run(self._only(frozenset()))
        more = (self._run(self._only(frozenset())),) if self.snapshot.moved() else ()
        return self.out_of_place, again, *more

    @cached_property
    def as_written(self) -> Outcome:
        """Each call as its own switch says."""
        return self._run(self._as_written)

    @cached_property
    def on_saved_copies(self) -> Outcome:
        """As written, but no checkpoint runs anything again, and no write reaches what autograd has saved.

        Nor does one reach the gradients that another node is given besides an autograd.Function of the user's.
        """
        hooks = saved_tensors_hooks(lambda tensor: copy_laid_out_the_same(tensor.detach()), lambda copy: copy)

        def decide(index: int, call: Switched) -> Any:
            # What rrelu saves first is where its noise will be.
            same = (
                saved_tensors_hooks(Tensor.detach, lambda tensor: tensor) if call.function is F.rrelu else nullcontext()
            )
            with same:
                return self._as_written(index, call)

        with without_checkpoints():
            return self._run(decide, hooks)

    def alone(self, index: int) -> Outcome:
        """Run with one call in place, and measure what that changes."""
        changed: list[float] = []
        alike: list[bool] = []

        def decide(i: int, call: Switched) -> Any:
            if i != index:
                return self._call(i, call, False)
            alike.append(call.rounds_alike())
            now, before = call.input.detach(), call.input.detach().clone()
            result = self._call(i, call, True)
            changed.append(leaf_difference(now, before))
            return result

        outcome = self._run(decide)
        outcome.changed, outcome.rounds_alike = sum(changed), any(alike)
        return outcome

    def on_copies(self, on: frozenset[int]) -> Outcome:
        """Run the calls in `on` in place on copies: with the roundings of in place, and without overwriting."""
        return self._run(
            lambda index, call: call.run_on_copy() if index in on - self.meant else self._call(index, call, False)
        )

    def with_backward(self, on: frozenset[int]) -> Suspects:
        """Run under watch with the calls in `on` in place, then backward: who wrote over what somebody had saved."""
        if on not in self._with_backward:
            self._with_backward[on] = self.watch(on, backward=True)
        return self._with_backward[on]

    def memory(self, on: frozenset[int]) -> Memory:
        """Measure the memory of one forward with the calls in `on` in place."""
        try:
            inputs = self._inputs()
            with _aside(), Switch(self._only(on)), Meter() as meter:
                result = self._forward(inputs)
            memory: Memory = meter.read()
            del result
            return memory
        finally:
            self.snapshot.restore()

    def watch(self, in_place: frozenset[int], backward: bool) -> Suspects:
        """Run under watch, the calls in `in_place` in place, and backward if asked for.

        Raise BadInput if the network runs only unwatched, NetworkError if its forward raises.
        """
        try:
            inputs = self._inputs()
            mine, given = list(tensors(self.arguments)), list(tensors(inputs))
            suspects = Suspects(self.network, self.snapshot, given, self.layers, in_place, self.meant)
            with stepping_aside(suspects.unwatched), without_checkpoints() as checkpoints:
                result = self._forward_watched(inputs, suspects)
                if backward:
                    suspects.begin_backward()
                    # An error of another kind may end it; what was stale up to there still counts.
                    with suppress(Exception), Observer(suspects):
                        gradients(self._outputs(result, attribute_tensors(self.network)), self.network, self._since)
            self.meant |= suspects.meant
            suspects.finish(result, bool(checkpoints))
            pairs = [(a, b) for a, b in zip(given, mine, strict=True) if a is not b]
            if not suspects.over_input and not in_place and any(leaf_difference(a, b) > 0 for a, b in pairs):
                suspects.over_input[_UNTRACED_WRITE] = None
            self._foreign |= {one.call.index for one in suspects.candidates if one.foreign}
            suspects.let_go()
            self._note(suspects.outcome, result, suspects.attributes)
            suspects.missed |= dict.fromkeys(self._without_a_look(result))
            del result
            suspects.forget()
            return suspects
        finally:
            self.snapshot.restore()

    def apart(self, a: Outcome, b: Outcome) -> float | None:
        """Return how far two runs are apart: in their results, and in what the network keeps for its next forward."""
        now = self.snapshot.overwritten()
        # What a run has not written to is as it is now.
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
            with observer, told_of_modules(observer.unseen(suspects.hooked.event)):
                return self._forward(inputs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.meant |= suspects.meant
            self.refused, self.refused_words = suspects.refused_write(error), first_line(error)
            if self._runs_unwatched(self._only(frozenset())):
                words = f"it runs, but not under watch: {shorten(first_line(error), 160)}"
                raise BadInput(f"{type(self.network).__name__} cannot be checked; {words}") from error
            if self._runs_unwatched(self._as_written):
                whose = "the network runs as written, but with everything out of place its forward"
                raise NetworkError(f"{said_by(error, whose)}; it relies on the overwriting") from error
            raise NetworkError(said_by(error, "the network's forward")) from error

    def _runs_unwatched(self, decide: Decide) -> bool:
        self.snapshot.restore()
        try:
            with _aside(), Switch(decide):
                self._forward(self._inputs())
        except KeyboardInterrupt:
            raise
        except BaseException:
            return False
        return True

    def _without_a_look(self, result: Any) -> Iterator[Unseen]:
        """Yield each kind of object, in the arguments and the result, that hides its tensors."""
        given = {("input", type(thing)): None for thing in opaque(self.arguments) if not isinstance(thing, nn.Module)}
        gives = {("result", type(thing)): None for thing in opaque(result) if id(thing) not in self.snapshot.own}
        for what, kind in (*given, *gives):
            why = f"its {what} holds {with_article(kind.__name__)}, in which tensors cannot be found"
            yield Unseen("", type(self.network).__name__, why)

    def _call(self, index: int, call: Switched, in_place: bool) -> Any:
        in_place = in_place or index in self.meant
        if in_place and index in self._foreign:
            self.snapshot.adopt(call.input)
        return call.run(in_place)

    def _only(self, on: Container[int]) -> Decide:
        return lambda index, call: self._call(index, call, index in on)

    def _as_written(self, index: int, call: Switched) -> Any:
        return self._call(index, call, call.inplace)

    def _run(self, decide: Decide, hooks: AbstractContextManager[Any] | None = None) -> Outcome:
        """Make one real run, forward and backward.

        `decide(index, call)` runs each call that takes `inplace=`: with the same index once more where a checkpoint
        runs it again, with `_OF_BACKWARD` where only backward does.
        """
        outcome = Outcome()
        sites: list[tuple[int, InstructionSite | None]] = []

        def run(index: int, call: Switched) -> Any:
            reading.given(("call", index, 0), call.input)
            if self.watched.runs_in_backward:
                sites.append((index, instruction_site()))
            return decide(index, call)

        def run_again(index: int, call: Switched) -> Any:
            here = instruction_site()
            before = [pair for pair in sites if pair[1] is not None and here is not None and here.is_again(pair[1])]
            if before:  # the same line may run more than once: in the same order again
                sites.remove(before[0])
                sites.append(before[0])
            outcome.writes_in_backward |= not before and call.inplace
            return decide(before[0][0] if before else _OF_BACKWARD, call)

        reading = Reading(self.watched.hooked.read, self.watched.kept)
        try:
            inputs = self._inputs()
            told = told_of_modules(reading.event) if self._has_hooks else nullcontext()
            # The mode is on for the network alone: each attribute of a tensor that is asked for would go through it.
            switch = Switch(run)
            with _aside(), hooks or nullcontext(), told:
                try:
                    with switch:
                        result = self._forward(inputs)
                except (Exception, SystemExit) as error:
                    outcome.forward_error = _without_frames(error)
                    return outcome
                left = attribute_tensors(self.network)
                outcome.beside = reading.seen()
                self._note(outcome, result, left)
                with in_each_backward(Switch(run_again)):
                    found = self._backward(outcome, result, left, on_copies=hooks is not None)
                if self.watched.may_spoil_gradients or self.watched.past_autograd:
                    outcome.gradients = digests(found, [*self.snapshot.parameters, *tensors(inputs)])
            return outcome
        finally:
            self.snapshot.restore()

    def _note(self, outcome: Outcome, result: Any, left: dict[str, Tensor]) -> None:
        result = leaves(result)
        outcome.result = [(path, values_now(leaf) if isinstance(leaf, Tensor) else leaf) for path, leaf in result]
        outcome.state = {i: values_now(tensor) for i, tensor in self.snapshot.note_overwritten().items()}
        buffers = self.network.named_buffers()
        left = left | {name: buffer for name, buffer in buffers if not self.snapshot.holds(key_of(buffer))}
        outcome.attributes = [(name, tensor.detach()) for name, tensor in left.items()]

    def _outputs(self, result: Any, left: dict[str, Tensor]) -> list[Tensor]:
        """Return the tensors that backward can begin from: in the result, and in attributes that the forward set."""
        new = [tensor for tensor in left.values() if id(tensor) not in self._kept_before]
        found = [t for t in tensors(result) if t.requires_grad] + [t for t in new if t.grad_fn is not None]
        return list({id(tensor): tensor for tensor in found}.values())

    def _backward(self, outcome: Outcome, result: Any, left: dict[str, Tensor], on_copies: bool) -> Gradients:
        """Run backward, note whether that went well, and return the gradients."""
        try:
            # Of one of several views, whose base was written to, PyTorch refuses to tell its grad_fn.
            outputs = self._outputs(result, left)
            if not outputs:
                return []
            for node in nodes_behind(outputs) if on_copies else ():
                function = getattr(type(node), "_forward_cls", None)
                if function is not None and not function.__module__.startswith("torch."):
                    node.register_prehook(lambda given: tuple(each if each is None else each.clone() for each in given))
            self.backwards += 1
            found = gradients(outputs, self.network, self._since)
        except Exception as error:
            outcome.backward, outcome.backward_error = False, _without_frames(error)
            return []
        outcome.backward = True
        return found


def _aside() -> AbstractContextManager[None]:
    """Run as the watched pass does, which has said what it did not see."""
    return stepping_aside(lambda what, why: None)


def _without_frames(error: BaseException) -> BaseException:
    # The traceback's frames would keep every activation alive.
    traceback.clear_frames(error.__traceback__)
    return error.with_traceback(None)
