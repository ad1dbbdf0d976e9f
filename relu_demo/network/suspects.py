"""What each call that can be in place would hurt if it were, noted while all of them run out of place."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from relu_demo.errors import words_of
from relu_demo.network.candidate import Candidate, may_be_refused, still_alive
from relu_demo.network.hooked import Hooked
from relu_demo.network.report import OVERWRITTEN_WORDS, HarmfulWrite, Unseen
from relu_demo.network.state.snapshot import Snapshot
from relu_demo.network.state.walk import attribute_tensors, tensors
from relu_demo.network.switch import Rebinding, Switched, switched
from relu_demo.sanitizer.frames import edits_for_itself, is_users, operation_name
from relu_demo.sanitizer.layers import Layers
from relu_demo.sanitizer.ledger import Followed, Ledger, Saved
from relu_demo.sanitizer.makers import Makers, kind_of
from relu_demo.sanitizer.observer import Here, Listener, Operator
from relu_demo.sanitizer.place import Place
from relu_demo.sanitizer.source import MEANT
from relu_demo.tensors.graph import graph, is_leaf, is_lost
from relu_demo.tensors.storage import Region, key_of, overlap, region_of, shape_of, weak_ref
from relu_demo.watching.refusals import refusal_in
from relu_demo.watching.report import REFUSED

_UNTOLD = {"copy_", "fill_", "index_put_", "_index_put_impl_", "set_"}
"""What `x[...] = y` becomes, of which PyTorch 1.13 tells no mode, and `x.set_(y)`, of which none does."""

_NOT_RECORDED = "nothing in it required grad, so no backward was tested; give it inputs that require grad"

_DATA = getattr(Tensor.data, "__get__")  # noqa: B009 - mypy
_STRAIGHT_THROUGH = {*MEANT, "round_", "sign_", "floor_", "ceil_", "trunc_", "sgn_", "heaviside_"}
"""Who writes these past autograd wants the gradient of what was there before: their own is zero."""

_OF_GRAPH = {Tensor.register_hook, Tensor.retain_grad, getattr(Tensor.grad_fn, "__get__")}  # noqa: B009 - mypy
"""What asks for a tensor's node in autograd's graph, or changes it."""


class Suspects(Listener):
    """
    Listens to one forward of a network.

    `inputs`: what the network is given, each tensor in it. `layers`: where layers stand in the source. `in_place`: the
    calls, by index, that run in place; all others run out of place, but for writes to what the network holds, which
    are meant. `snapshot`: is told of each write before it happens.
    """

    def __init__(
        self,
        network: nn.Module,
        snapshot: Snapshot,
        inputs: Iterable[Tensor],
        layers: Layers,
        in_place: frozenset[int] = frozenset(),
    ) -> None:
        self.ledger = Ledger()
        self.candidates: list[Candidate] = []
        """The calls that can be in place, in order."""
        self.meant: set[int] = set()
        """The calls, by index, that are meant to be in place: writes to what the network holds (`self.steps += 1`)."""
        self.over_input: dict[Place, None] = {}
        """Where other writes reach an input of the network, in order."""
        self.past_autograd: dict[Place, list[Place]] = {}
        """Other writes of which autograd does not know (`.data`), with who has saved what they overwrite."""
        self.maybe_meant: dict[tuple[Place, Place], None] = {}
        """Such writes that may be meant, each with who reads that memory later or has saved it."""
        self.lost_views: dict[HarmfulWrite, None] = {}
        """Other writes to a tensor of which the network returns or keeps one of several views: PyTorch refuses that."""
        self.behind_autograd: list[tuple[Place, Followed]] = []
        """Writes to the `.data` of a tensor that autograd has made, with who reads that afterwards."""
        self._bared: dict[int | None, StorageWeakRef] = {}
        """Storages of tensors that autograd has made, of which `.data` was asked for, by key."""
        self._last_write: dict[int | None, Place] = {}
        """Of storages with views that PyTorch may refuse."""
        self.missed: dict[Unseen, None] = {}
        """What ran where no mode reaches, in order."""
        self.makers: Makers[Place] = Makers()
        self.hooked = Hooked(self.path_of, self.ledger)
        self._layers = layers
        self._raised: tuple[Place, Place | None, str] | None = None
        """The first function of torch that raised, what made the tensor that it was given, and that tensor's name."""
        self._network = network
        self._snapshot = snapshot
        self._in_place = in_place
        self.attributes: dict[str, Tensor] = {}
        """What the network keeps in plain attributes when the forward has ended."""
        self._paths = {id(module): path for path, module in network.named_modules()}
        self._inputs: dict[int | None, list[Region | None]] = {}
        for tensor in inputs:
            self._inputs.setdefault(key_of(tensor), []).append(region_of(tensor))
        self._made: dict[int, StorageWeakRef] = {}
        """The storages that operators of this forward have made, by key, which a weak reference keeps theirs."""
        self._graph_used: set[int | None] = set()
        """The storages, by key, of tensors whose hooks or node of the graph the forward has to do with."""
        self.applied = False
        """Whether an autograd.Function was applied."""
        self._wrote = False
        """Whether anything was written to."""
        self._saved = False
        """Whether autograd saved anything."""
        self._grad = torch.is_grad_enabled()
        self._count = 0
        self._running: int | None = None
        """Index of the call that takes `inplace=` and runs now."""
        self._latest: Candidate | None = None
        """The call after which no operator has run yet."""

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
            self._note_graph_used(args[0])
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

    def _note_graph_used(self, tensor: Tensor) -> None:
        """Note that a hook was registered on a tensor, or its node asked for: in place, those are of the result."""
        key = key_of(tensor)
        self._graph_used.add(key)
        for call in self.candidates:
            call.doubtful |= call.key == key and call.bytes > 0

    def refused_write(self, error: BaseException) -> HarmfulWrite | None:
        """Return the write because of which the forward has raised, if PyTorch's words say that it was one."""
        refusal = refusal_in(error) if isinstance(error, RuntimeError) else None
        if self._raised is None or (refusal is None and OVERWRITTEN_WORDS not in words_of(error)):
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
        self.ledger.looked_at(call.input)  # dropout in evaluation runs no operator
        if isinstance(call, Rebinding) and self._snapshot.holds(candidate.key):
            self.meant.add(candidate.index)
        self._running = candidate.index
        try:
            in_place = candidate.index in self._in_place or candidate.index in self.meant
            if in_place:
                self._snapshot.before_write(candidate.key)
            result = call.run(in_place)
        finally:
            self._running = None
        if isinstance(call, Rebinding) and not in_place:
            # It ran on a copy: what it saved of its own input is another argument, as in `x *= x`.
            candidate.saved_before = self.ledger.saved_of(call.input)
        self.candidates.append(candidate)
        self._latest = candidate
        # What autograd has recorded may have another backward in place.
        recorded = isinstance(result, Tensor) and result.requires_grad
        candidate.unchanged = candidate.inplace and not (in_place or recorded) and call.leaves_as_it_was(result)
        if not call.writes_nothing:
            candidate.input = self.ledger.follow(call.input, candidate.region)
            if isinstance(result, Tensor) and key_of(result) not in (None, candidate.key):
                candidate.result = self.ledger.follow(result, None)
        return result

    def saved(self, tensor: Tensor, place: Place) -> Saved:
        """Note it in the ledger."""
        self._saved = True
        return self.ledger.saved(tensor, place, self._running)

    def unpacked(self, saved: Saved) -> Tensor:
        """Note it in the ledger."""
        return self.ledger.unpacked(saved)

    def operator(self, operator: Operator, here: Here) -> None:
        """Note whether the latest call's input is alive still, and what writes in compiled code."""
        if self._latest is not None and self._running is None:
            self._latest.outlives = self._latest.storage is None or self._latest.is_alive
            self._latest = None
        name = operator.name
        if operator.writes and self._running is None and _is_users_own(here.function):
            why = f"{name} writes in place inside a function with __torch_function__: its calls are not listed"
            self.missed[Unseen(here.place(name).module, operation_name(here.function), why)] = None
        if operator.writes and here.function is None and name not in _UNTOLD:
            why = f"{name} writes in place in compiled code (TorchScript, an extension): its calls are not listed"
            self.missed[Unseen(here.place(name).module, "compiled code", why)] = None

    @property
    def results_wanted(self) -> bool:
        """It needs to know which storages are older than the forward."""
        return True

    def made(self, results: tuple[Tensor, ...]) -> None:
        """Note the storages."""
        for tensor in results:
            key = key_of(tensor)
            if key is not None and key not in self._made:
                self._made[key] = weak_ref(tensor)

    def read(self, tensor: Tensor, here: Here) -> None:
        """Note who reads what a call would overwrite."""
        self.ledger.read(tensor, lambda: here.place("read"))

    def wrote(self, tensor: Tensor, here: Here) -> None:
        """Note the write. After a call in place, writing to what it overwrote is a reading, too."""
        key = key_of(tensor)
        self._wrote = True
        self._snapshot.before_write(key)
        if self._is_foreign(key):
            self._snapshot.adopt(tensor)
        is_meant = self._running is None or self._running in self._in_place or self._running in self.meant
        if is_meant and any(overlap(region_of(tensor), region) for region in self._inputs.get(key, ())):
            self.over_input[here.place("write")] = None
        bared = key in self._bared and not tensor.requires_grad and torch.is_grad_enabled()
        if bared and self._running is None and not self._snapshot.holds(key):
            place = here.place("write")
            if place.operation not in _STRAIGHT_THROUGH:
                self.behind_autograd.append((place, self.ledger.follow(tensor, region_of(tensor))))
        if self._running is None and self.makers.of(tensor) is not None:
            self._last_write[key] = here.place("write")
        self.ledger.wrote(tensor, lambda: here.place("write"), self._running)
        self.ledger.read(tensor, lambda: here.place("read"))

    def made_view(self, base: Tensor, views: tuple[Tensor, ...], here: Here) -> None:
        """Note that the storage is used."""
        self.ledger.looked_at(base)

    def asked_shape(self, tensor: Tensor, here: Here) -> None:
        """Note that the storage is used."""
        self.ledger.looked_at(tensor)

    def exposed(self, tensor: Tensor, here: Here) -> None:
        """From here on, only values tell who reads it, and nothing tells who writes to it."""
        self._snapshot.before_write(key_of(tensor))
        self.ledger.expose(tensor)
        self.ledger.read(tensor, lambda: here.place("read"))

    def unwatched(self, what: str, why: str) -> None:
        """Note a part of PyTorch that runs without a watch."""
        self.missed[Unseen("", what, why)] = None

    def other_thread(self, module: nn.Module) -> None:
        """Note a module whose calls are not in `candidates`."""
        why = "ran in another thread; what is called there is not watched"
        self.missed[Unseen(self.path_of(module), type(module).__name__, why)] = None

    def thread_runs(self, operator: str) -> None:
        """Note a thread, of which nothing is in `candidates`, once, and not where its modules are named."""
        if not any("another thread" in missed.why for missed in self.missed):
            why = "ran in another thread; what is called there is not watched"
            self.missed[Unseen("", operator, why)] = None

    def finish(self, result: Any) -> None:
        """After the forward: note what is returned, what the network keeps, and what autograd still has saved."""
        network = self._network
        self._note_idle_switches()
        self._note_unrecorded(result)
        self.attributes = attribute_tensors(network)
        for tensor in (*tensors(result), *self.attributes.values()):
            self._note_lost_view(tensor)
        for tensor in tensors(result):
            self._read_later(tensor, "return")
        for name, tensor in self.attributes.items():
            self._read_later(tensor, f"kept as {name}")
        kept = {id(tensor): (name, tensor) for name, tensor in (*network.named_buffers(), *network.named_parameters())}
        for name, tensor in kept.values():
            self._read_later(tensor, f"kept as {name}")
        self._note_past_autograd()
        foreign = not self.applied and any(isinstance(n, torch._C._FunctionBase) for n in graph(tensors(result)))
        for call in self.candidates:
            # In place, elu and its like save their result, and a later write overwrites it.
            overwritten = call.recorded and call.result is not None and call.result.overwritten
            call.doubtful |= call.input.alias_used or overwritten
            # Of this autograd.Function nobody was told when it was applied.
            call.by_values |= foreign and call.bytes > 0 and (call.outlives or call is self._latest)
            call.by_values |= call.again
            call.saved_by = [saved.place for ref in call.saved_before for saved in [ref()] if saved is not None]

    def _note_past_autograd(self) -> None:
        for saved, write in self.ledger.past_autograd():
            if write.call is not None:
                continue
            if edits_for_itself(write.place.frames, saved.place.frames):
                self.maybe_meant[write.place, saved.place] = None
            else:
                self.past_autograd.setdefault(write.place, []).append(saved.place)
        for place, followed in self.behind_autograd:
            readers = [reader for reader in followed.readers if reader != place]
            if readers and place not in self.past_autograd:
                self.maybe_meant[place, readers[0]] = None

    def _note_unrecorded(self, result: Any) -> None:
        writes = self._wrote or any(call.inplace and call.bytes for call in self.candidates)
        recorded = self._saved or any(tensor.requires_grad for tensor in tensors(result))
        if self._grad and writes and not recorded:
            self.missed[Unseen("", type(self._network).__name__, _NOT_RECORDED)] = None

    def _note_lost_view(self, view: Tensor) -> None:
        writer = self._last_write.get(key_of(view))
        if writer is None:
            return
        if is_lost(view):
            maker = self.makers.of(view)
            self.lost_views[HarmfulWrite(writer, () if maker is None else (maker,), REFUSED)] = None

    def _note_idle_switches(self) -> None:
        """Note each module that is in place and none of whose calls, nor of those below it, was seen."""
        seen = {*(call.place.module for call in self.candidates), *(one.module for one in self.missed)}
        reached = {above for path in seen for above in _with_those_above(path)}
        for path, kind in self.hooked.switched_on.items():
            if path and path not in reached:
                self.missed[Unseen(path, kind, "its inplace=True reaches no call that was watched")] = None

    def is_known(self, key: int | None) -> bool:
        """Return whether a storage, by its key, is the network's or an input's."""
        return key in self._inputs or self._snapshot.holds(key)

    def held_in_secret(self) -> list[Candidate]:
        """
        Return the calls whose input's storage is alive: the result holds it, or something that is not known.

        Those of the network's and of the inputs' storages are left out. Let go of what autograd saved: after this no
        backward can follow.
        """
        self.ledger.end_of_backward()
        alive = still_alive([call for call in self.candidates if call.region and not self._snapshot.holds(call.key)])
        if not alive:
            return []
        attributes = self.attributes.values()
        known = {*self._inputs, *map(key_of, attributes)}
        return [call for call in alive if call.key not in known]

    @contextmanager
    def functions(self) -> Iterator[None]:
        """
        Inside the block, be told when an autograd.Function is applied.

        It may hand memory to compiled code, whose reads no mode sees: only values tell of what is alive then.
        """
        function: Any = torch.autograd.Function
        own, original = vars(function).get("apply"), inspect.getattr_static(function, "apply")

        def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
            self.applied = True
            for call in self.candidates:
                call.by_values |= call.bytes > 0 and call.is_alive
            return original.__get__(None, cls)(*args, **kwargs)

        function.apply = classmethod(apply)
        try:
            yield
        finally:
            if own is None:
                del function.apply
            else:
                function.apply = own

    def _is_foreign(self, key: int | None) -> bool:
        return key is not None and key not in self._made and not self.is_known(key)

    def _read_later(self, tensor: Tensor, operation: str) -> None:
        self.ledger.read(tensor, lambda: Place(operation, ""))

    def _candidate(self, call: Switched, here: Here) -> Candidate:
        tensor = call.input
        key = key_of(tensor)
        nothing = call.writes_nothing
        grad = torch.is_grad_enabled()
        place = here.place("")
        found = Candidate(
            index=self._count,
            place=place,
            inplace=call.inplace,
            shape=shape_of(tensor),
            dtype=str(tensor.dtype).removeprefix("torch."),
            bytes=0 if nothing else tensor.numel() * tensor.element_size(),
            key=key,
            storage=None if key is None else weak_ref(tensor),
            region=None if nothing or key is None else region_of(tensor),
            recorded=grad,
            draws_otherwise=call.draws_otherwise,
            switchable=call.inplace or here.stand.has_switch,
            switch=place.module if here.stand.module_has_switch else None,
            type=type(here.stand.module).__name__ if here.stand.module_has_switch else None,
            takes_inplace=call.takes_inplace,
            made_by=self.makers.of(tensor),
            again=self._grad and here.stand.in_checkpoint,
        )
        self._count += 1
        if not nothing or call.reshapes:
            self._look_at_input(found, call, grad)
        elif not tensor.numel():
            # Nothing is written, and yet the version counter moves.
            found.doubtful = True
        if not nothing or found.doubtful or found.by_values:
            found.saved_before = self.ledger.saved_of(tensor)
            found.saved_then = [saved.place for ref in found.saved_before for saved in [ref()] if saved is not None]
        return found

    def _look_at_input(self, found: Candidate, call: Switched, grad: bool) -> None:
        found.foreign = self._is_foreign(found.key)
        found.by_values = found.key is None or found.foreign or self.ledger.is_exposed(call.input)
        given = self._inputs.get(found.key, ())
        found.on_input = any(overlap(found.region, region) for region in given)
        found.doubtful = (
            call.reshapes
            or found.draws_otherwise
            or found.key in self._inputs
            or self._snapshot.holds(found.key)
            # In place, the result is the input, which has a graph.
            or (not grad and call.input.requires_grad)
            or found.key in self._graph_used
            or may_be_refused(call, grad)
        )


class InBackward(Listener):
    """Listens to a backward: what the user's own code in it (an autograd.Function's) writes to. `ledger`: who saved."""

    reads_wanted = functions_wanted = False

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._operator = ""
        self.writes: dict[Place, list[Place]] = {}
        """The user's writes, in order, each with who has saved what it overwrites."""

    def saved(self, tensor: Tensor, place: Place) -> Saved:
        """Note it in the ledger."""
        return self._ledger.saved(tensor, place)

    def unpacked(self, saved: Saved) -> Tensor:
        """Note it in the ledger."""
        return self._ledger.unpacked(saved)

    def operator(self, operator: Operator, here: Here) -> None:
        """Remember its name: the backward runs outside of all functions of torch."""
        self._operator = operator.name

    def wrote(self, tensor: Tensor, here: Here) -> None:
        """Note the write, if it is the user's."""
        place = here.place(self._operator)
        if place.file is not None:
            savers = [saved.place for ref in self._ledger.saved_of(tensor) for saved in [ref()] if saved is not None]
            self.writes.setdefault(place, []).extend(savers)
            self._ledger.wrote(tensor, lambda: place)


def _with_those_above(module: str) -> Iterator[str]:
    """Yield the path of a module, and of each that it is in: `a.b.c`, `a.b`, `a`."""
    while module:
        yield module
        module = module.rpartition(".")[0]


def _is_users_own(function: Any) -> bool:
    """Whether a function that a mode was told of is not PyTorch's: one that handles __torch_function__ itself."""
    code = getattr(function, "__code__", None)
    return code is not None and is_users(code.co_filename)
