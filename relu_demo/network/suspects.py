"""What each call that can be in place would hurt if it were, noted while all of them run out of place."""

from __future__ import annotations

import ast
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from relu_demo.errors import words_of
from relu_demo.network.hooks import Hooked, Kept, Number
from relu_demo.network.outcome import Outcome
from relu_demo.network.report import STALE_WORDS, Call, Conflict, HarmfulWrite, Unseen
from relu_demo.network.state.snapshot import Snapshot
from relu_demo.network.state.walk import attribute_tensors, tensors
from relu_demo.network.switch import Switched, switched
from relu_demo.sanitizer.frames import Surroundings, edits_for_itself, is_users, operation_name
from relu_demo.sanitizer.layers import Layers
from relu_demo.sanitizer.ledger import Ledger, RegionUses, SavedTensor
from relu_demo.sanitizer.observer import Here, Listener, Operator
from relu_demo.sanitizer.origins import Makers, kind_of
from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import STRAIGHT_THROUGH, statement_at
from relu_demo.tensors.graph import grad_fn_of, is_leaf, is_lost, nodes_behind
from relu_demo.tensors.storage import (
    Region,
    key_of,
    overlap,
    overlaps_itself,
    region_of,
    shape_of,
    weak_ref,
)
from relu_demo.watching.refusals import refusal_in
from relu_demo.watching.report import REFUSED

_NOT_RECORDED = "nothing in it required grad, so no backward was tested; give it inputs that require grad"
_IN_THREAD = "ran in another thread; what is called there is not watched"

_DATA = getattr(Tensor.data, "__get__")  # noqa: B009 - mypy
_OF_GRAPH = {Tensor.register_hook, Tensor.retain_grad, getattr(Tensor.grad_fn, "__get__")}  # noqa: B009 - mypy
"""What asks for a tensor's node in autograd's graph, or changes it."""


@dataclass
class Candidate:
    """One call that can be in place, and what would be hurt if it were. Holds no tensor."""

    call: Call
    """What the report says of it."""
    key: int | None
    region: Region | None
    """Of the input: what it would overwrite."""
    switchable: bool
    """Whether the author of the network can put it in place."""
    input: RegionUses = field(default_factory=lambda: RegionUses(None))
    """Who uses the input's region after the call."""
    result: RegionUses | None = None
    """Who uses the result after the call, if that is a tensor with a storage of its own."""
    saved_before: list[weakref.ref[SavedTensor]] = field(default_factory=list)
    saved_then: list[Place] = field(default_factory=list)
    """Who had it saved when the call was made; a backward inside the forward may have freed it since."""
    saved_by: list[Place] = field(default_factory=list)
    """Who saved some of the input's storage before the call, and still has it saved after the forward."""
    made_by: Place | None = None
    """The line that made the input, if PyTorch may refuse to write to that."""
    doubtful: bool = False
    """Only a real run can tell: a view, an alias in autograd, something PyTorch may refuse."""
    by_values: bool = False
    """Only values can tell: memory in the hands of code that no mode sees."""
    foreign: bool = False
    """No operator of this forward has made the input's storage, and it is neither the network's nor an input's."""
    on_input: bool = False
    """It would overwrite an input of the network."""
    is_handed_on: bool = False
    """Whether an nn.Sequential or a `return` hands its result on: who drops that does not mean the overwriting."""
    held_outside: bool = False
    """Something outside the network still holds the input's memory after the forward."""
    held_by: tuple[Place, ...] = ()
    """Of that, the hooks that were given it."""

    @property
    def readers(self) -> tuple[Place, ...]:
        """Return who reads what it would overwrite; each place once, in order."""
        return tuple(self.input.readers)

    @property
    def instruction(self) -> tuple[CodeType, int] | None:
        """Return the instruction of the user's code that makes the call, itself or by an nn.Sequential."""
        return next(iter(self.call.place.frames), None)

    @property
    def is_dropped(self) -> bool:
        """Return whether nothing uses its result."""
        return self.result is not None and not self.result.used

    @property
    def is_meant(self) -> bool:
        """Return whether it is in place and its own line drops its result: that means the overwriting."""
        return self.call.inplace and self.is_dropped and not self.is_handed_on

    @property
    def suspect(self) -> bool:
        """Return whether it may do harm, as far as the watch has seen."""
        return self._is_seen or self.by_values

    @property
    def only_by_values(self) -> bool:
        """Return whether it is suspect, and nothing that was seen makes it so: a checkpoint runs it again, say."""
        return self.by_values and not self._is_seen

    @property
    def _is_seen(self) -> bool:
        return bool(self.readers or self.saved_by or self.on_input or self.held_outside or self.doubtful)


class Suspects(Listener):
    """Listens to one forward of a network, and on demand to its backward.

    `inputs`: what the network is given, each tensor in it. `layers`: where layers stand in the source. `in_place`: the
    calls, by index, that run in place; all others run out of place, but for those in `meant`, and for writes to what
    the network holds. `snapshot`: knows the network's storages, and copies a global's before the first write.
    """

    def __init__(
        self,
        network: nn.Module,
        snapshot: Snapshot,
        inputs: Iterable[Tensor],
        layers: Layers,
        in_place: frozenset[int] = frozenset(),
        meant: frozenset[int] = frozenset(),
    ) -> None:
        self.ledger = Ledger()
        self.candidates: list[Candidate] = []
        """The calls that can be in place, in order."""
        self.meant = set(meant)
        """The calls, by index, that are writes like any other: of a dropped result, or to what the network holds."""
        self.over_input: dict[Place, None] = {}
        """Where other writes reach an input of the network, in order."""
        self.past_autograd: dict[Place, list[Place]] = {}
        """Other writes of which autograd does not know (`.data`), with who has saved what they overwrite."""
        self.maybe_meant: dict[tuple[Place, Place], None] = {}
        """Such writes that may be meant, each with who reads that memory later or has saved it."""
        self.lost_views: dict[HarmfulWrite, None] = {}
        """Other writes to a tensor of which the network returns or keeps one of several views: PyTorch refuses that."""
        self.in_backward: dict[Place, list[Place]] = {}
        """Writes of the user's own code in backward, each with who has saved what it overwrites."""
        self.runs_in_backward = False
        """Whether code that is not PyTorch's may run in backward: an autograd.Function, a checkpoint, a hook."""
        self.missed: dict[Unseen, None] = {}
        """What ran where no mode reaches, and what tensors cannot be found in, in order."""
        self.attributes: dict[str, Tensor] = {}
        """What the network keeps in plain attributes when the forward has ended, until `forget`."""
        self.kept: dict[Number, Kept] = {}
        """What hooks, or others outside the network, keep of what they were given and of the calls' inputs."""
        self.outcome = Outcome()
        """Its result, and what it has left in the network; nothing of a backward."""
        self.makers: Makers[Place] = Makers()
        self.hooked = Hooked(self.path_of, self.ledger)
        self._behind_autograd: list[tuple[Place, RegionUses]] = []
        """Writes to the `.data` of a tensor that autograd has made, with who reads that afterwards."""
        self._bared: dict[int | None, StorageWeakRef] = {}
        """Storages of tensors that autograd has made, of which `.data` was asked for, by key."""
        self._last_write: dict[int | None, Place] = {}
        """Of storages with views that PyTorch may refuse."""
        self._raised: tuple[Place, Place | None, str] | None = None
        """The first function of torch that raised, what made the tensor that it was given, and that tensor's name."""
        self._layers = layers
        self._network = network
        self._snapshot = snapshot
        self._in_place = in_place
        self._paths = {id(module): path for path, module in network.named_modules()}
        self._inputs: dict[int | None, list[Region | None]] = {}
        for tensor in inputs:
            self._inputs.setdefault(key_of(tensor), []).append(region_of(tensor))
        self._made: set[int | None] = {None}
        """The keys of the storages that operators of this forward have made; the ledger keeps each its own."""
        self._graph_used: set[int | None] = set()
        """The storages, by key, of tensors whose hooks or node of the graph the forward has to do with."""
        self._writes = self._saved = False
        self._grad = torch.is_grad_enabled()
        self._running: int | None = None
        """Index of the call that takes `inplace=` and runs now."""
        self._count = 0

    def path_of(self, module: nn.Module) -> str:
        """Return the path as in `named_modules()`; of a module outside the network, its class in angle brackets."""
        path = self._paths.get(id(module))
        return super().path_of(module) if path is None else path

    def line_of(self, module: nn.Module) -> tuple[str, int] | None:
        """Return the line of a layer of an nn.Sequential."""
        return self._layers.line_of(module)

    def run(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], here: Here) -> Any:
        """Run a function; one that takes `inplace=` in place or out of place, as this pass wants it."""
        call = switched(function, args, kwargs)
        if function in _OF_GRAPH and args:
            self.runs_in_backward |= function is Tensor.register_hook
            # In place, a hook or a node would be the result's.
            self._graph_used.add(key := key_of(args[0]))
            for candidate in self.candidates:
                candidate.doubtful |= candidate.key == key
        elif function == _DATA and args[0].requires_grad and not is_leaf(args[0]):
            self._bared[key_of(args[0])] = weak_ref(args[0])
        try:
            result = function(*args, **kwargs) if call is None else self._run_switched(call, here)
        except RuntimeError:
            if self._raised is None:
                given = next((value for value in args if isinstance(value, Tensor)), None)
                maker = None if given is None else self.makers.of(given)
                self._raised = here.place(""), maker, self._name_of(given)
            raise
        return self.makers.remember(kind_of(function), args, kwargs, result, lambda: here.place(""))

    def refused_write(self, error: BaseException) -> HarmfulWrite | None:
        """Return the write because of which the forward has raised, if PyTorch's words say that it was one."""
        refusal = refusal_in(error) if isinstance(error, RuntimeError) else None
        if self._raised is None or (refusal is None and STALE_WORDS not in words_of(error)):
            return None
        place, maker, name = self._raised
        why = "" if refusal is None else f"{name} {refusal.because}"
        return HarmfulWrite(place, () if maker is None else (maker,), REFUSED, why=why)

    def _name_of(self, tensor: Tensor | None) -> str:
        """Return the path of a parameter or buffer of the network; of another tensor that it is one."""
        state = (*self._network.named_parameters(), *self._network.named_buffers())
        return next((path for path, one in state if one is tensor), "the tensor")

    def _run_switched(self, call: Switched, here: Here) -> Any:
        candidate = self._candidate(call, here)
        index = candidate.call.index
        self.ledger.used(call.input)  # dropout in evaluation runs no operator
        if (not call.takes_inplace and self._snapshot.holds(candidate.key)) or (
            candidate.call.inplace and here.surroundings.marks_dirty
        ):
            self.meant.add(index)
        in_place = index in self._in_place or index in self.meant
        self._running = None if index in self.meant else index
        try:
            result = call.run(in_place)
        finally:
            self._running = None
        if not call.takes_inplace and not in_place:
            # It ran on a copy: what it saved of its own input is another argument, as in `x *= x`.
            candidate.saved_before = self.ledger.saved_of(call.input)
        self.candidates.append(candidate)
        if not call.writes_nothing:
            candidate.input = self.ledger.follow(call.input, candidate.region)
            if candidate.region is not None:
                self.hooked.given(("call", index, 0), call.input)
            if isinstance(result, Tensor) and key_of(result) not in (None, candidate.key):
                candidate.result = self.ledger.follow(result, None)
        return result

    def saved(self, tensor: Tensor, place: Place) -> SavedTensor:
        """Note it in the ledger."""
        self._saved = True
        return self.ledger.saved(tensor, place, self._running)

    def unpacked(self, saved: SavedTensor) -> Tensor:
        """Note it in the ledger."""
        return self.ledger.unpacked(saved)

    def operator(self, operator: Operator, given: Iterable[tuple[int | str, Tensor]], here: Here) -> None:
        """Note who reads what a call would overwrite, and who writes."""
        if operator.writes and self.wants_all:
            self._note_unlisted(operator.name, here)
        for number, tensor in given:
            if number in operator.writes:
                if self.wants_all:
                    self._wrote(tensor, here)
                else:  # it runs outside of all functions of torch
                    self._wrote_in_backward(tensor, here.place(operator.name))
            elif operator.reads and self.wants_all:
                self.ledger.read(tensor, lambda: here.place("read"))
            elif self.wants_all:
                self.ledger.used(tensor)

    def _note_unlisted(self, name: str, here: Here) -> None:
        """Note what writes where no function of torch tells of it."""
        if self._running is None and _is_users_own(here.function):
            why = f"{name} writes in place inside a function with __torch_function__: its calls are not listed"
            self.missed[Unseen(here.place(name).module, operation_name(here.function), why)] = None
        if here.function is None and name != "set_":  # of `x.set_(y)` no mode is told
            why = f"{name} writes in place in compiled code (TorchScript, an extension): its calls are not listed"
            self.missed[Unseen(here.place(name).module, "compiled code", why)] = None

    def made(self, results: Iterable[Tensor]) -> None:
        """Note the storages."""
        for tensor in results:
            if (key := key_of(tensor)) not in self._made:
                self._made.add(key)
                self.ledger.open(tensor)

    def _wrote(self, tensor: Tensor, here: Here) -> None:
        """Note the write. After a call in place, writing to what it overwrote is a reading, too."""
        key = key_of(tensor)
        self._writes = True
        if self._is_foreign(key):
            self._snapshot.adopt(tensor)
        in_place = self._running is None or self._running in self._in_place
        if in_place and any(overlap(region_of(tensor), region) for region in self._inputs.get(key, ())):
            self.over_input[here.place("write")] = None
        bared = key in self._bared and not tensor.requires_grad and torch.is_grad_enabled()
        if bared and self._running is None and not self._snapshot.holds(key):
            place = here.place("write")
            if place.operation not in STRAIGHT_THROUGH:
                self._behind_autograd.append((place, self.ledger.follow(tensor, region_of(tensor))))
        if self._running is None and self.makers.of(tensor) is not None:
            self._last_write[key] = here.place("write")
        self.ledger.wrote(tensor, lambda: here.place("write"), self._running)
        self.ledger.read(tensor, lambda: here.place("read"))

    def _wrote_in_backward(self, tensor: Tensor, place: Place) -> None:
        if place.file is not None:
            self.in_backward.setdefault(place, []).extend(_places(self.ledger.saved_of(tensor)))
            self.ledger.wrote(tensor, lambda: place)

    def exposed(self, tensor: Tensor, here: Here) -> None:
        """Note a reading; of what is read or written later only values tell."""
        self.ledger.read(tensor, lambda: here.place("read"))

    def unwatched(self, what: str, why: str) -> None:
        """Note a part of PyTorch that runs without a watch."""
        self.missed[Unseen("", what, why)] = None

    def other_thread(self, module: nn.Module) -> None:
        """Note a module whose calls are not in `candidates`."""
        self.missed[Unseen(self.path_of(module), type(module).__name__, _IN_THREAD)] = None

    def thread_runs(self, operator: str) -> None:
        """Note a thread once, unless its modules are named: its calls are not in `candidates`."""
        if not any(missed.why == _IN_THREAD for missed in self.missed):
            self.missed[Unseen("", operator, _IN_THREAD)] = None

    def begin_backward(self) -> None:
        """From now on listen to a backward: what the user's own code in it (an autograd.Function's) writes to."""
        self.wants_all = False

    def finish(self, result: Any, checkpoints: bool) -> None:
        """After the forward: note what is returned, what the network keeps, and what autograd still has saved."""
        network = self._network
        self._note_idle_switches()
        self.attributes = attribute_tensors(network)
        outputs = [*tensors(result), *self.attributes.values()]
        writes = self._writes or any(one.call.inplace and one.call.bytes for one in self.candidates)
        recorded = self._saved or any(tensor.requires_grad for tensor in outputs)
        if self._grad and writes and not recorded:
            self.missed[Unseen("", type(network).__name__, _NOT_RECORDED)] = None
        for tensor in outputs:
            writer = self._last_write.get(key_of(tensor))
            if writer is not None and is_lost(tensor):
                maker = self.makers.of(tensor)
                self.lost_views[HarmfulWrite(writer, () if maker is None else (maker,), REFUSED)] = None
        later = [(tensor, Place("return", "")) for tensor in tensors(result)]
        kept = {id(tensor): (name, tensor) for name, tensor in (*network.named_buffers(), *network.named_parameters())}
        for name, tensor in (*self.attributes.items(), *kept.values()):
            later.append((tensor, Place(f"kept as {name}", "", is_kept=True)))
        for tensor, place in later:
            self.ledger.read(tensor, lambda place=place: place)  # type: ignore[misc]
        self._note_past_autograd()
        nodes = nodes_behind(outputs)
        self.runs_in_backward |= checkpoints or any(isinstance(node, torch._C._FunctionBase) for node in nodes)
        for one in self.candidates:
            # In place, elu and its like save their result, and a later write overwrites it.
            one.doubtful |= one.input.alias_used or (one.result is not None and one.result.overwritten)
            one.saved_by = _places(one.saved_before)

    def _note_past_autograd(self) -> None:
        for saved, write in self.ledger.past_autograd():
            if write.call is not None:
                continue
            if edits_for_itself(write.place.frames, saved.by.place.frames):
                self.maybe_meant[write.place, saved.by.place] = None
            else:
                self.past_autograd.setdefault(write.place, []).append(saved.by.place)
        for place, followed in self._behind_autograd:
            readers = [each for each in followed.readers if (each.file, each.line) != (place.file, place.line)]
            if readers and place not in self.past_autograd:
                self.maybe_meant[place, readers[0]] = None

    def _note_idle_switches(self) -> None:
        """Note each in-place module if no call of it, or of a module below it, was seen."""
        seen = {*(one.call.place.module for one in self.candidates), *(one.module for one in self.missed)}
        above = {each[:end] for each in seen for end, sign in enumerate(f"{each}.") if sign == "."}
        for path, kind in self.hooked.switched_on.items():
            if path and path not in above:
                self.missed[Unseen(path, kind, "its inplace=True reaches no call that was watched")] = None

    def let_go(self) -> None:
        """Let go of what autograd saved. Of a call whose input is alive even so (in a node, say) only values tell."""
        self.ledger.end_of_backward()
        alive = self.hooked.alive(self._knows())
        for one in self.candidates:
            one.by_values |= ("call", one.call.index, 0) in alive

    def forget(self) -> None:
        """Note what something outside the network holds. Call after the result and its graph are freed."""
        self.kept = self.hooked.kept(self._knows())
        for one in self.candidates:
            kept = self.kept.get(("call", one.call.index, 0))
            if kept is not None:
                one.held_outside, one.held_by = True, kept.by
        self.attributes = {}

    def _knows(self) -> Callable[[int], bool]:
        """Return what tells whether a storage is an input's or the network's, or in an attribute of it."""
        known = {*self._inputs, *map(key_of, self.attributes.values())}
        return lambda key: key in known or self._snapshot.holds(key)

    @property
    def may_spoil_gradients(self) -> bool:
        """Return whether the calls in place can make the gradients wrong, and not the result."""
        return self.runs_in_backward or any(one.call.inplace and one.suspect for one in self.candidates)

    @property
    def conflicts(self) -> list[Conflict]:
        """Return each stale tensor that backward unpacked, with each write that made it so, in the order of the writes.

        As if no checkpoint ran anything again.
        """
        pairs = [(saver, writer) for saver, writers in self.ledger.stale for writer in writers]
        pairs.sort(key=lambda pair: (pair[1].number, pair[0].number))
        return [Conflict(saver.place, saver.call, writer.place, writer.call) for saver, writer in pairs]

    def _is_foreign(self, key: int | None) -> bool:
        """Return whether a storage has no known owner, and no operator of this forward made it."""
        return not (key in self._made or key in self._inputs or self._snapshot.holds(key))

    def _candidate(self, call: Switched, here: Here) -> Candidate:
        tensor, place, around = call.input, here.place(""), here.surroundings
        key, nothing, grad = key_of(tensor), call.writes_nothing, torch.is_grad_enabled()
        shown = Call(
            index=self._count,
            place=place,
            inplace=call.inplace,
            shape=shape_of(tensor),
            dtype=str(tensor.dtype).removeprefix("torch."),
            bytes=0 if nothing else tensor.numel() * tensor.element_size(),
            switch=place.module if around.module_has_switch else None,
            takes_inplace=call.takes_inplace,
            type=type(around.module).__name__ if around.module_has_switch else None,
        )
        self._count += 1
        region = None if nothing or key is None else region_of(tensor)
        found = Candidate(
            shown,
            key,
            region,
            switchable=call.inplace or around.has_switch,
            is_handed_on=around.modules > 1 or _is_returned(around),
            made_by=self.makers.of(tensor),
            by_values=self._grad and around.in_checkpoint,
            doubtful=nothing and call.moves_version,
        )
        if not nothing:
            found.foreign = self._is_foreign(key)
            found.by_values |= key is None or found.foreign
            found.on_input = any(overlap(region, other) for other in self._inputs.get(key, ()))
            # Without grad the result in place is the input, which has a graph.
            found.doubtful = not grad and tensor.requires_grad
            found.doubtful |= key in self._inputs or self._snapshot.holds(key) or key in self._graph_used
            found.doubtful |= _may_be_refused(call, grad)
        if not nothing or found.doubtful or found.by_values:
            found.saved_before = self.ledger.saved_of(tensor)
            found.saved_then = _places(found.saved_before)
        return found


def _places(refs: Iterable[weakref.ref[SavedTensor]]) -> list[Place]:
    """Return the places that saved what autograd still holds."""
    return [saved.by.place for ref in refs for saved in [ref()] if saved is not None]


def _is_returned(around: Surroundings) -> bool:
    """Return whether the user's line is a `return` of a module's forward: a helper may well be called to overwrite."""
    return around.in_forward and isinstance(statement_at(around.file, around.line), ast.Return)


def _is_users_own(function: Any) -> bool:
    """Return whether a function that a mode was told of handles __torch_function__ itself, and is not PyTorch's."""
    code = getattr(function, "__code__", None)
    return code is not None and is_users(code.co_filename)


def _may_be_refused(call: Switched, grad: bool) -> bool:
    """Return whether PyTorch may refuse the call in place, here or in backward; False is certain."""
    tensor = call.input
    if type(tensor) not in (Tensor, nn.Parameter) or not tensor.is_floating_point() or overlaps_itself(tensor):
        return True
    if not grad:
        return tensor.is_inference() and not torch.is_inference_mode_enabled()
    return tensor._is_view() or call.slope_below_zero or (tensor.requires_grad and grad_fn_of(tensor) is None)
