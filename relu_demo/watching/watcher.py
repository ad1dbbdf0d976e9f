"""
The listener that watches any code: each write over a saved tensor, and each write that PyTorch refuses.

A backward that unpacks a saved tensor whose version counter has moved would raise. Under watch it goes on with the
values that were saved, which were copied before the write: so every such tensor of that backward is found, and the
cure is tried at once. At its end the leaves' gradients are put back, and InplaceError is raised.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from relu_demo.errors import words_of
from relu_demo.sanitizer.frames import Stand, modules_running, operation_name
from relu_demo.sanitizer.layers import Layers
from relu_demo.sanitizer.ledger import Ledger, Saved, Write
from relu_demo.sanitizer.makers import Makers
from relu_demo.sanitizer.observer import Here, Listener, Observer
from relu_demo.sanitizer.place import Place
from relu_demo.tensors.graph import graph, is_leaf
from relu_demo.tensors.storage import apart, is_gone, key_of, overlap, region_of, weak_ref
from relu_demo.watching.faults import Fault, Overwriting, Refused
from relu_demo.watching.hooks import Hooks
from relu_demo.watching.reads import Reads
from relu_demo.watching.refusals import HOOK, LOST, SLOPE, refusal_in, runs_out_of_place
from relu_demo.watching.report import GIVING, NEW_DATA
from relu_demo.watching.words import overwritten_words

MOST_COPIED = 2**28
"""Bytes of saved tensors that are copied before writes, at most; a fault beyond that is named and not tried."""

_DATA, _NEW_DATA = (getattr(Tensor.data, name) for name in ("__get__", "__set__"))


@dataclass
class Backward:
    """A running backward that has met a stale tensor."""

    faults: list[Overwriting]
    gradients: list[tuple[Tensor, Tensor | None, Tensor | None]]
    """Each leaf, its gradient at that moment, and a copy of it."""


@dataclass
class Seen:
    """How much a watch has looked at."""

    backwards: int = 0
    saved: int = 0
    writes: int = 0
    unwatched: dict[tuple[str, str], None] = field(default_factory=dict)


@dataclass
class Lines:
    """What lines, by file and number, were seen to do that their source does not tell."""

    writing_parts: dict[tuple[str | None, int | None], int | None] = field(default_factory=dict)
    """
    Those that write to a part of a tensor, `x[i] = y`.

    Where `i` is a mask, how many dimensions fewer than the tensor it has; else None.
    """
    asking_data: set[tuple[str | None, int | None]] = field(default_factory=set)
    """Those that ask a tensor for `.data`."""


class Watcher(Listener):
    """
    Collects the faults of the code that an observer tells of.

    `found(faults)` is called with all faults of one backward, or with one refused write, and returns the error to
    raise; for silent ones it may return None.
    """

    def __init__(self, found: Callable[[tuple[Fault, ...]], Exception | None]) -> None:
        self.found = found
        self.seen = Seen()
        self.ledger = Ledger()
        self.makers = Makers()
        self.layers = Layers()
        self.reads = Reads()
        self.hooks = Hooks(self.path_of)
        self.observer = Observer(self)
        self.modules: dict[int, tuple[weakref.ref[nn.Module], str]] = {}
        """Each module that has run: itself, and its name, `D.2` (class of the outermost, path below it)."""
        self._before: weakref.WeakKeyDictionary[Saved, Tensor] = weakref.WeakKeyDictionary()
        self._copied = 0
        self._given_away: dict[int, tuple[StorageWeakRef, Place]] = {}
        """By storage: memory that NumPy has, and the line that gave it."""
        self._met: weakref.WeakSet[Saved] = weakref.WeakSet()
        self._running: dict[int, Backward] = {}
        self._task = -1
        self.lines = Lines()
        self._unpacked: Callable[[], Saved | None] = lambda: None
        """The saved tensor that a backward has asked for last."""
        self._last_saved: dict[Place, int] = {}
        """For each place that saves, the number of what it saved last."""
        self.stepping = 0
        """How many optimizers' steps run, one in another."""
        self._went_backward: dict[tuple[str, int] | None, tuple[int, int]] = {}
        """For each line that goes backward, the ledger's count when it last began, and when it did before that."""

    @property
    def reads_wanted(self) -> bool:
        """Whether a read may be one of an overwritten value."""
        return self.reads.pending or self.hooks.pending

    @property
    def functions_wanted(self) -> bool:
        """Whether the functions of torch that run now are the user's: an optimizer's are told by its step."""
        return not self.stepping

    def path_of(self, module: nn.Module) -> str:
        """Return the module's name: class of the outermost module that runs, and the path below it."""
        known = self.modules.get(id(module))
        if known is None or known[0]() is not module:
            outermost = next(iter(modules_running()), module)
            for path, inner in outermost.named_modules():
                name = type(outermost).__name__ + (f".{path}" if path else "")
                self.modules.setdefault(id(inner), (weakref.ref(inner), name))
            self.modules.setdefault(id(module), (weakref.ref(module), type(module).__name__))
            known = self.modules[id(module)]
            if known[0]() is not module:
                known = self.modules[id(module)] = weakref.ref(module), type(module).__name__
        return known[1]

    def module_named(self, name: str) -> nn.Module | None:
        """Return the module that has run under a name; None if none did, or it is gone."""
        return next((module for ref, known in self.modules.values() if known == name for module in [ref()]), None)

    def saved(self, tensor: Tensor, place: Place) -> Saved:
        """Note a saved tensor."""
        self.seen.saved += 1
        if place.operation == "checkpoint":
            self.unwatched("torch.utils.checkpoint", "what it runs again in backward is not watched")
        saved = self.ledger.saved(tensor, place)
        self._last_saved[place] = saved.number
        if self._giver(tensor) is not None:
            self._keep(saved)
        return saved

    def exposed(self, tensor: Tensor, here: Here) -> None:
        """Note that NumPy gets the tensor's memory: no write by that is seen, so that values are compared."""
        key = key_of(tensor)
        if key is None or operation_name(here.function) not in GIVING:
            return
        self._given_away[key] = weak_ref(tensor), here.place("numpy")
        for ref in self.ledger.saved_of(tensor):
            saved = ref()
            if saved is not None:
                self._keep(saved)

    def _giver(self, tensor: Tensor) -> Place | None:
        """Return the line that gave the tensor's memory away; None if none did."""
        key = key_of(tensor) if self._given_away else None
        storage, place = self._given_away.get(key, (None, None)) if key is not None else (None, None)
        if storage is not None and is_gone(storage):
            del self._given_away[key or 0]
            return None
        return place

    def _keep(self, saved: Saved) -> None:
        """Copy a saved tensor's values, once, as long as there is room."""
        if saved.tensor is None or saved in self._before or saved.is_stale:
            return
        size = saved.tensor.numel() * saved.tensor.element_size()
        if self._copied + size <= MOST_COPIED:
            self._before[saved] = saved.tensor.detach().clone()
            self._copied += size
            weakref.finalize(saved, self._forget, size)

    def wrote(self, tensor: Tensor, here: Here) -> None:
        """Note a write, and copy the saved tensors that it is about to reach."""
        self.seen.writes += 1
        self._look_for_old_names(tensor, here)
        self.hooks.wrote(tensor, lambda: here.place("write"))
        self.makers.wrote(tensor, lambda: self._place(here.stand, here.place("write")))
        living = self.ledger.saved_of(tensor)
        if not living:
            return
        region = region_of(tensor)
        for ref in living:
            saved = ref()
            if saved is not None and saved.tensor is not None and overlap(region, region_of(saved.tensor)):
                self._keep(saved)
        self.ledger.wrote(tensor, lambda: self._place(here.stand, here.place("write")))

    def _look_for_old_names(self, tensor: Tensor, here: Here) -> None:
        if here.function is None or self.stepping or (tensor.requires_grad and is_leaf(tensor)):
            return
        self.reads.wrote(tensor, here, here.place("write"))

    def read(self, tensor: Tensor, here: Here) -> None:
        """Look whether a variable is read that was overwritten in place meanwhile."""
        hooked = self.hooks.read(tensor, lambda: here.stand)
        if hooked is not None:
            self._raise((hooked,), None)
        found = self.reads.read(tensor)
        if found is not None:
            written = found.overwrite.written()
            if written is None or not same_bits(found.overwrite.before, written):
                self._raise((found,), None)

    def _forget(self, size: int) -> None:
        self._copied -= size

    def _place(self, stand: Stand, place: Place) -> Place:
        return Place("step", stand.optimizer, place.file, place.line) if stand.optimizer else place

    def other_thread(self, module: nn.Module) -> None:
        """Note that a module ran where nothing is seen."""
        self.unwatched(type(module).__name__, "ran in another thread")

    def unwatched(self, what: str, why: str) -> None:
        """Note what ran where nothing is seen."""
        self.seen.unwatched[what, why] = None

    def run(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], here: Here) -> Any:
        """Run a function of torch; note what makes a tensor that must not be written to, and a refused write."""
        running = tuple(self._running)
        if function is Tensor.__setitem__:
            place, index = here.place(""), args[1]
            is_mask = isinstance(index, Tensor) and index.dtype == torch.bool
            lacks = args[0].dim() - index.dim() if is_mask else None
            self.lines.writing_parts[place.file, place.line] = lacks
        elif function == _NEW_DATA:
            self._note_new_data(args[0], here)
        elif function == _DATA:
            place = here.place("")
            self.lines.asking_data.add((place.file, place.line))
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            for task in [task for task in self._running if task not in running]:
                self._end(task)  # something else has ended that backward, which PyTorch would have ended before
            fault = self._refused(error, function, args, kwargs, here) if isinstance(error, RuntimeError) else None
            if fault is not None:
                self._raise((fault,), error)
            raise
        return self.makers.remember(function, args, kwargs, result, here)

    def _note_new_data(self, tensor: Tensor, here: Here) -> None:
        """Note that a tensor is given other memory: where it was saved itself, backward finds other values."""
        found = [saved for ref in self.ledger.saved_of(tensor) for saved in [ref()] if saved is not None]
        itself = [saved for saved in found if saved.tensor is tensor]
        for saved in itself:
            self._keep(saved)
        if itself:
            self.ledger.wrote(tensor, lambda: replace(here.place(""), operation=NEW_DATA))

    def failed(self, error: RuntimeError, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Report a write that PyTorch refuses to an optimizer's step, which is over with that."""
        if not self.stepping:
            return
        self.stepping = 0
        refusal = refusal_in(error)
        tensor = None if refusal is None else refusal.tensor_of(args, kwargs)
        if refusal is not None and tensor is not None:
            stand = self.observer.stand(None)
            place = self._place(stand, self.observer.place(stand, "step"))
            self._raise((Refused(refusal, tensor, place, self.makers.of(tensor), words_of(error), None),), error)

    def _refused(
        self, error: RuntimeError, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], here: Here
    ) -> Refused | None:
        refusal = refusal_in(error)
        tensor = None if refusal is None else refusal.tensor_of(args, kwargs)
        if refusal is None or tensor is None:
            return None
        place, words = self._place(here.stand, here.place("")), words_of(error)
        if refusal is SLOPE:
            saved = self._unpacked()  # by the node that has raised
            if saved is None or saved.tensor is None:
                return None
            return Refused(refusal, saved.tensor, place, saved.place, words, None)
        made_by = self.hooks.registered(tensor) if refusal is HOOK else self.makers.of(tensor)
        if refusal is LOST:
            return Refused(refusal, tensor, place, made_by, words, None, self.makers.writes(tensor))
        return Refused(refusal, tensor, place, made_by, words, runs_out_of_place(function, args, kwargs))

    def unpacked(self, saved: Saved) -> Tensor:
        """Return a saved tensor to a backward: where it was overwritten, the values that were saved."""
        task = torch._C._current_graph_task_id()
        if task != self._task and task >= 0:
            self._begin(task)
        tensor = self.ledger.unpacked(saved)
        self._unpacked = weakref.ref(saved)
        before = self._before.get(saved)
        if saved.is_stale:
            return self._met_stale(task, saved, tensor, before)
        if before is not None and saved not in self._met and not same_bits(before, tensor):
            self._met.add(saved)
            fault = self._overwriting(saved, tensor, loud=False)
            # What only the function itself writes that has saved it, it fills: the noise of rrelu.
            if not fault.writes or any(write.place != saved.place for write in fault.writes):
                self._raise((fault,), None)
        return tensor

    def _begin(self, task: int) -> None:
        self.seen.backwards += 1
        self._task = task
        where = self.observer.stand(None).backward
        self._went_backward[where] = self.ledger.count, self._went_backward.get(where, (-1, -1))[0]

    def _met_stale(self, task: int, saved: Saved, tensor: Tensor, before: Tensor | None) -> Tensor:
        fault = self._overwriting(saved, tensor, loud=True)
        if task < 0:  # somebody looks at a node of the graph
            raise RuntimeError(fault.words)
        backward = self._running.get(task)
        if backward is None:
            backward = self._running[task] = Backward([], leaves_of(self.observer.stand(None)))
            if fault.values_kept:
                torch.autograd.Variable._execution_engine.queue_callback(lambda: self._end(task))
        if saved not in self._met:
            self._met.add(saved)
            backward.faults.append(fault)
        if before is None and fault.values_kept:
            return tensor
        if before is None:
            del self._running[task]
            self._raise(tuple(backward.faults), RuntimeError(fault.words))
        assert before is not None
        return before

    def _end(self, task: int) -> None:
        """Put the gradients back at the end of a backward that PyTorch would not have ended, and raise."""
        backward = self._running.pop(task)
        quiet, self.observer.quiet = self.observer.quiet, True
        try:
            with torch.no_grad():
                for leaf, gradient, copy in backward.gradients:
                    if gradient is not None and copy is not None:
                        gradient.copy_(copy)
                    leaf.grad = gradient
        finally:
            self.observer.quiet = quiet
        self._raise(tuple(backward.faults), RuntimeError(backward.faults[0].words))

    def _overwriting(self, saved: Saved, tensor: Tensor, loud: bool) -> Overwriting:
        stand = self.observer.stand(None)
        file, line = stand.backward or (stand.file, stand.line)
        began = self._went_backward.get(stand.backward, (-1, -1))
        words = overwritten_words(tensor, saved, saved.version) if loud else ""
        region = region_of(tensor)
        writes = self.ledger.writes_since(saved)
        giver = self._giver(tensor)
        if not writes and giver is not None:
            writes = (Write(saved.number, giver, None, region_of(tensor)),)
        return Overwriting(
            saved,
            tensor,
            writes,
            Place("backward", "", file, line),
            words,
            saved in self._before or (bool(writes) and all(apart(write.region, region) for write in writes)),
            getattr(_running_node(), "_forward_cls", None),
            # Else one forward is gone backward through again and again.
            self._last_saved.get(saved.place, 0) > began[1] >= saved.number,
        )

    def _raise(self, faults: tuple[Fault, ...], instead_of: Exception | None) -> None:
        """Tell what was found, and raise what is to be raised for it."""
        error = self.found(faults)
        if error is not None:
            raise error from None
        if instead_of is not None:
            raise instead_of


def _running_node() -> Any:
    """Return the node of the graph whose backward runs; None where this PyTorch does not tell."""
    return getattr(torch._C, "_current_autograd_node", lambda: None)()


def leaves_of(stand: Stand) -> list[tuple[Tensor, Tensor | None, Tensor | None]]:
    """Return each leaf of the running backward's graph, its gradient, and a copy of that."""
    outputs = (stand.outputs,) if isinstance(stand.outputs, Tensor) else stand.outputs or ()
    leaves = [node.variable for node in graph(outputs) if hasattr(node, "variable")]
    return [(leaf, leaf.grad, None if leaf.grad is None else leaf.grad.detach().clone()) for leaf in leaves]


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors have the same shape and the same values; two NaNs are the same."""
    if a.shape != b.shape:
        return False
    with torch.no_grad():
        return bool(((a == b) | ((a != a) & (b != b))).all())
