"""The watched pass: everything out of place once, and a note of who touches what each call would overwrite."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from relu_demo.network.report import Unseen
from relu_demo.network.state.contents import tensors
from relu_demo.network.state.holders import attribute_tensors
from relu_demo.network.state.snapshot import Snapshot
from relu_demo.network.switch import SWITCHED, Switch, Switched
from relu_demo.sanitizer.frames import Places, has_switch, operation_name, runs_again, saver_name
from relu_demo.sanitizer.place import Place
from relu_demo.tensors.graph import graph
from relu_demo.tensors.storage import Region, is_gone, key_of, overlap, overlaps_itself, region_of, shape_of, weak_ref

_ESCAPES = {"numpy", "__array__", "data_ptr", "storage", "untyped_storage", "_typed_storage", "__dlpack__", "tolist"}
"""Methods of a tensor that hand its memory to code that no mode can watch."""

_ITEM = {"copy_", "fill_", "index_put_", "_index_put_impl_"}
"""What `x[...] = y` becomes, of which PyTorch 1.13 tells no mode. None of them has a switch."""


class Saved:
    """A tensor that autograd keeps for backward. The graph holds this, and nothing else does."""

    __slots__ = ("__weakref__", "call", "key", "place", "tensor", "version")

    def __init__(self, tensor: Tensor, key: int | None, place: Place, call: int | None) -> None:
        self.tensor: Tensor | None = tensor
        self.key = key
        self.place = place
        self.call = call
        self.version = -1 if tensor.is_inference() else tensor._version


@dataclass
class Seen:
    """One call that takes `inplace=`, and what would be hurt if it were in place. Holds no tensor."""

    index: int
    place: Place
    written: bool
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    key: int | None
    region: Region | None
    saved_before: list[weakref.ref[Saved]] = field(default_factory=list)
    saved_by: list[Place] = field(default_factory=list)
    readers: dict[Place, None] = field(default_factory=dict)
    """Each place once, in order."""
    doubtful: bool = False
    """Only a real run can tell: a view, an alias in autograd, something PyTorch may refuse."""
    by_values: bool = False
    """Only values can tell: memory in the hands of code that no mode sees."""
    on_input: bool = False
    result_used: bool = True
    draws_otherwise: bool = False
    switchable: bool = True
    again: bool = False
    """Inside of a checkpoint: it runs again in backward."""
    outlives: bool = False
    """The overwritten memory is still alive when the next operator runs."""
    held: bool = False
    """Something outside the network still holds the overwritten memory after the forward."""

    @property
    def suspect(self) -> bool:
        """Whether a real run is needed."""
        unsure = self.doubtful or self.by_values or self.again
        return bool(self.readers or self.saved_by or self.on_input or self.held or unsure)


@dataclass
class OtherWrite:
    """An in-place write, and what autograd had saved of that storage before it."""

    place: Place
    call: int | None
    saved_before: list[weakref.ref[Saved]]


@dataclass
class Watched:
    """What the pass saw."""

    calls: list[Seen]
    conflicts: list[tuple[Place, int | None, Place, int | None]]
    """Where backward unpacked a stale tensor: who saved it (place, call), who wrote over it (place, call)."""
    result: Any
    missed: tuple[Unseen, ...]
    """What ran where no mode reaches."""


class Watch:
    """
    Watches one forward.

    A TorchFunctionMode sees each call before it runs; a TorchDispatchMode sees every read and write of every
    storage, by the operator's schema, also below composite operations and in a ScriptModule;
    saved_tensors_hooks sees what autograd keeps. Storages are known by weak references, so
    nothing is kept alive.
    """

    def __init__(self, kept: Snapshot, places: Places, inputs: list[Tensor], in_place: frozenset[int]) -> None:
        self._kept = kept
        self._places = places
        self._in_place = in_place
        self._inputs: dict[int | None, list[Region | None]] = {}
        for tensor in inputs:
            self._inputs.setdefault(key_of(tensor), []).append(region_of(tensor))
        self._calls: list[Seen] = []
        self._by_key: dict[int, list[Seen]] = {}
        self._by_result: dict[int, list[Seen]] = {}
        self._unused: dict[int, Seen] = {}
        self._references: dict[int, StorageWeakRef] = {}
        self._saved: dict[int, list[weakref.ref[Saved]]] = {}
        self._writes: list[OtherWrite] = []
        self._stale: list[Saved] = []
        self._escaped: set[int] = set()
        self._thread = threading.get_ident()
        self._grad = torch.is_grad_enabled()
        self.missed: dict[Unseen, None] = {}
        """What ran where no mode reaches, in order."""
        self._latest: Seen | None = None
        self._running: Any = None
        self._running_place: Place | None = None
        self._running_call: int | None = None
        self._functions = _Functions(self)
        self._operators = _Operators(self)

    def forward(self, run: Callable[[], Any]) -> Any:
        """Run under watch."""
        with ExitStack() as stack:
            stack.enter_context(saved_tensors_hooks(self._pack, self._unpack))
            stack.enter_context(self._functions)
            stack.enter_context(self._operators)
            # The modes are of one thread; hooks on all modules are of every thread.
            stack.callback(register_module_forward_pre_hook(self._module).remove)
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Using `torch.compile")  # "when there are global hooks on modules"
            return run()

    def _module(self, module: torch.nn.Module, inputs: Any) -> None:
        if threading.get_ident() != self._thread:
            why = "ran in another thread; what is called there is not watched"
            self.missed[Unseen(self._places.path_of(module), type(module).__name__, why)] = None

    def finish(self, result: Any, network: torch.nn.Module) -> list[Seen]:
        """After the forward: what is returned, what the network keeps, and what autograd still holds."""
        for tensor in tensors(result):
            self._touch(tensor, reads=True, place=Place("return", ""))
        for name, tensor in attribute_tensors(network).items():
            self._touch(tensor, reads=True, place=Place(f"kept as {name}", ""))
        names = {id(buffer): name for name, buffer in network.named_buffers()}
        names.update({id(parameter): name for name, parameter in network.named_parameters()})
        for tensor in [*network.buffers(), *network.parameters()]:
            self._touch(tensor, reads=True, place=Place(f"kept as {names[id(tensor)]}", ""))
        foreign = any(isinstance(node, torch._C._FunctionBase) for node in graph(tensors(result)))
        for call in self._calls:
            # An autograd.Function may hand memory to compiled code, whose reads no mode sees. Runs decide.
            call.by_values |= foreign and call.bytes > 0 and (call.outlives or call is self._latest)
            alive = [saved for ref in call.saved_before for saved in [ref()] if saved is not None]
            call.saved_by = [saved.place for saved in alive]
        return self._calls

    def still_held(self, result: Any, network: torch.nn.Module) -> list[Seen]:
        """The calls whose overwritten storage is alive though nothing known holds it. Lets go of saved tensors."""
        for refs in self._saved.values():
            for ref in refs:
                saved = ref()
                if saved is not None:
                    saved.tensor = None
        alive = self._alive([call for call in self._calls if call.region and not self._kept.holds(call.key)])
        if not alive:
            return []
        known = {*self._inputs, *map(key_of, tensors(result)), *map(key_of, attribute_tensors(network).values())}
        return [call for call in alive if call.key not in known]

    def name_holders(self, held: list[Seen]) -> None:
        """Once the result is gone: what only its graph held is doubtful, the rest is held outside the network."""
        beyond = self._alive(held)
        for call in held:
            call.held = call in beyond
            call.by_values = True

    def _alive(self, calls: list[Seen]) -> list[Seen]:
        def alive(call: Seen) -> bool:
            return call.key is not None and not is_gone(self._references[call.key])

        if any(alive(call) for call in calls):
            gc.collect()
        return [call for call in calls if alive(call)]

    def stale(self) -> list[tuple[Place, int | None, Place, int | None]]:
        """After a backward under watch: each stale tensor that it unpacked, with the writes that made it so."""
        return [
            (saved.place, saved.call, write.place, write.call)
            for write in self._writes
            for ref in write.saved_before
            for saved in [ref()]
            if saved is not None and any(saved is stale for stale in self._stale)
        ]

    def _pack(self, tensor: Tensor) -> Saved:
        with _Quiet(self):
            key = key_of(tensor)
            place = self._here("") if self._running is not None else self._places.here(saver_name())
            saved = Saved(tensor, key, place, self._running_call)
            if key is not None:
                self._saved.setdefault(key, []).append(weakref.ref(saved))
            return saved

    def _unpack(self, saved: Saved) -> Tensor:
        with _Quiet(self):
            tensor = saved.tensor
            assert tensor is not None, "backward after the watch has ended"
            if saved.version >= 0 and tensor._version != saved.version:
                self._stale.append(saved)
            return tensor

    def _here(self, operation: str) -> Place:
        if self._running is None:
            return self._places.here(operation)
        if self._running_place is None:
            self._running_place = self._places.here(operation_name(self._running))
        return self._running_place

    def _call(self, index: int, call: Switched) -> Any:
        seen, saved_before = self._look(index, call)
        self._running_call = index
        try:
            in_place = index in self._in_place
            if in_place:
                self._kept.before_write(seen.key)
            result = call.run(in_place)
        finally:
            self._running_call = None
        seen.saved_before = saved_before
        self._calls.append(seen)
        self._latest = seen
        if seen.key is not None:
            self._references.setdefault(seen.key, weak_ref(call.input))
            if not call.writes_nothing:
                self._by_key.setdefault(seen.key, []).append(seen)
        if isinstance(result, Tensor) and not call.writes_nothing:
            out = key_of(result)
            if out is not None and out != seen.key:
                self._references.setdefault(out, weak_ref(result))
                self._unused[out] = seen
                seen.result_used = False
                if torch.is_grad_enabled():
                    self._by_result.setdefault(out, []).append(seen)
        return result

    def _look(self, index: int, call: Switched) -> tuple[Seen, list[weakref.ref[Saved]]]:
        tensor = call.input
        key = key_of(tensor)
        nothing = call.writes_nothing
        seen = Seen(
            index,
            self._here(""),
            call.written,
            shape_of(tensor),
            str(tensor.dtype).removeprefix("torch."),
            0 if nothing else tensor.numel() * tensor.element_size(),
            key,
            None if nothing or key is None else region_of(tensor),
        )
        grad = torch.is_grad_enabled()
        seen.draws_otherwise = call.draws_otherwise
        seen.switchable = call.written or has_switch(call.function)
        seen.again = self._grad and runs_again()
        if not nothing or call.reshapes:
            seen.by_values = key is None or key in self._escaped
            seen.doubtful = (
                call.reshapes or self._kept.holds(key) or seen.draws_otherwise or _may_be_refused(call, grad)
            )
            given = self._inputs.get(key, ())
            seen.on_input = not nothing and any(overlap(seen.region, region) for region in given)
            seen.doubtful |= key in self._inputs
        elif not tensor.numel():
            # Nothing is written, and yet the version counter moves.
            seen.doubtful = True
        if nothing and not (seen.doubtful or seen.by_values):
            return seen, []
        return seen, [] if key is None else [ref for ref in self._saved.get(key, ()) if ref() is not None]

    def _touch(self, tensor: Tensor, reads: bool, place: Place | None = None, writes: bool = False) -> None:
        key = key_of(tensor)
        if key is None:
            return
        result_of = self._unused.pop(key, None)
        if result_of is not None:
            result_of.result_used = True
        calls = self._by_key.get(key)
        if not calls:
            return
        region = region_of(tensor)
        for call in calls:
            if (reads or writes) and overlap(region, call.region):
                call.readers[place or self._here("read")] = None
            elif torch.is_grad_enabled() and (reads or writes or tensor._is_view()):
                # PyTorch may refuse a view whose base was written to, and version counters know no regions.
                call.doubtful = True

    def _operator(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._latest is not None and self._running_call is None:
            key, self._latest.outlives = self._latest.key, True
            if key is not None:
                self._latest.outlives = not is_gone(self._references[key])
            self._latest = None
        kind = _kinds.get(func)
        if kind is None:
            kind = _kinds[func] = _Kind(func)
        if kind.writes and self._running is None:
            self._miss(operation_name(func).split(".")[0])
        if self._by_key or self._unused or kind.writes:
            for name, tensor in _tensors_in(args, kwargs):
                self._argument(tensor, kind.reads, name in kind.writes)

    def _miss(self, operation: str) -> None:
        if operation not in _ITEM:
            why = f"{operation} writes in place in compiled code (TorchScript, an extension): its calls are not listed"
            self.missed[Unseen(self._here(operation).module, "compiled code", why)] = None

    def _argument(self, tensor: Tensor, reads: bool, writes: bool) -> None:
        if writes:
            key = key_of(tensor)
            self._kept.before_write(key)
            if key is not None:
                saved = [ref for ref in self._saved.get(key, ()) if ref() is not None]
                if saved:
                    self._writes.append(OtherWrite(self._here("write"), self._running_call, saved))
                for call in self._by_result.get(key, ()):
                    # In place, elu and its like save their result, and this writes over it.
                    call.doubtful = True
        self._touch(tensor, reads, writes=writes)

    def _escape(self, tensor: Tensor) -> None:
        key = key_of(tensor)
        if key is not None:
            self._escaped.add(key)
            self._references.setdefault(key, weak_ref(tensor))
            self._touch(tensor, reads=True)


class _Quiet:
    """While it lasts, the watch's own questions to tensors are not watched."""

    def __init__(self, watch: Watch) -> None:
        self._functions = watch._functions

    def __enter__(self) -> None:
        self._before, self._functions.quiet = self._functions.quiet, True

    def __exit__(self, *exception: object) -> None:
        self._functions.quiet = self._before


class _Functions(Switch):
    """Knows which function of torch runs, for the names in the report."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch._call)
        self._watch = watch
        self.quiet = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        watch = self._watch
        if self.quiet:
            return func(*args, **(kwargs or {}))
        outer = watch._running, watch._running_place
        watch._running, watch._running_place = func, None
        try:
            if func in SWITCHED:
                return super().__torch_function__(func, types, args, kwargs)
            if getattr(func, "__name__", "") in _ESCAPES and args and isinstance(args[0], Tensor):
                watch._escape(args[0])
            return func(*args, **(kwargs or {}))
        finally:
            watch._running, watch._running_place = outer


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator that reaches a kernel."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Else the first operator imports all of torch._dynamo: a second, and 70 MB.
        return False

    def __init__(self, watch: Watch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watch = watch

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        with _Quiet(self._watch):
            self._watch._operator(func, args, kwargs)
        return func(*args, **kwargs)


def _tensors_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[int | str, Tensor]]:
    named: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    for name, value in named:
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, (list, tuple)):
            yield from ((name, item) for item in value if isinstance(item, Tensor))


class _Kind:
    """What an operator does to its arguments, by its schema."""

    def __init__(self, func: Any) -> None:
        schema = getattr(func, "_schema", None)
        self.writes: set[int | str] = set()
        self.reads = True
        if schema is None:
            return
        for i, argument in enumerate(schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self.writes |= {i, argument.name}
        is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
        name = schema.name.split("::")[-1]
        only_shape = name.endswith("_like") or name.startswith(("new_", "sym_")) or name == "is_same_size"
        self.reads = not (is_view or only_shape)


_kinds: dict[Any, _Kind] = {}


def _may_be_refused(call: Switched, grad: bool) -> bool:
    tensor = call.input
    if type(tensor) not in (Tensor, torch.nn.Parameter) or not tensor.is_floating_point():
        return True
    if overlaps_itself(tensor) or (tensor.is_inference() and not torch.is_inference_mode_enabled()):
        return True
    if not grad:
        return False
    if (tensor.is_leaf and tensor.requires_grad) or call.slope_below_zero:
        return True
    return tensor._is_view() and not _is_ordinary_view(tensor)


def _is_ordinary_view(view: Tensor) -> bool:
    # PyTorch 1.13 does not tell; there every view is doubtful.
    ask = getattr(torch._C._autograd, "_get_creation_meta", None)
    base = view._base
    if ask is None or base is None or (base.is_leaf and base.requires_grad):
        return False
    if ask(view) != torch._C._autograd.CreationMeta.DEFAULT:
        return False
    if not view.is_inference() and view._version > 0:
        # Its base was written to since: autograd makes the view's grad_fn anew, or has not yet.
        return False
    # A view that was resized (`out=`) can reach beyond its base; autograd's view of it is wrong then.
    inner, outer = region_of(view), region_of(base)
    return inner is None or (outer is not None and outer.start <= inner.start and inner.end <= outer.end)
