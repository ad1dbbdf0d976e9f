"""The watch itself, a function mode with hooks on saved tensors: who saved, who wrote, and what a backward finds stale.

After each function the version counters of what is saved of its arguments' storages are compared: where one has moved,
that function has written. Where hooks keep a saved tensor PyTorch compares no version, so that the watch does, goes on
with the backward to find all stale tensors, and raises at its end. A write that the version counter does not count
(`.data`, NumPy, other hooks) is known by a fingerprint of the elements, taken before it.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from types import FrameType, FunctionType, MethodWrapperType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from relu_demo.sanitizer.frames import code_of, edits_for_itself, operation_name
from relu_demo.sanitizer.layers import Layers
from relu_demo.sanitizer.observer import operands
from relu_demo.sanitizer.origins import Makers, kind_of
from relu_demo.sanitizer.place import GIVING
from relu_demo.tensors.graph import nodes_behind
from relu_demo.tensors.storage import apart, is_gone, key_of, overlaps_itself, region_of, weak_ref
from relu_demo.watching.aliases import Aliases
from relu_demo.watching.attribution import calling_from, passing_on
from relu_demo.watching.callsite import CallSite, call_site
from relu_demo.watching.findings import overwritten_one, refused_one, words_for
from relu_demo.watching.refusals import EXPANDED, HOOK, LOST, SLOPE, refusal_in
from relu_demo.watching.report import PAST_AUTOGRAD, Finding, WorthALook
from relu_demo.watching.saved_tensors import Packed, Pages, Saved, Write, is_wrong, saved_at, saved_of, shares_counter
from relu_demo.watching.variables import modules_in, name_of, writes_to_an_item

_BACKWARDS = {Tensor.backward, torch.autograd.backward, torch.autograd.grad}
"""Functions that run the engine, where the watch goes on."""
_NOT_IN_PLACE = {"__invert__", "__iter__", "__index__", "__int__"}
_PLAIN = torch._C.DisableTorchFunction
"""Inside this context a tensor's attributes are read past all modes and subclasses."""
_getframe, _is_inference = sys._getframe, torch.is_inference_mode_enabled
_NO_DISPATCH: Any = torch._C._DisableTorchDispatch
_dispatch_modes: Any = torch._C._len_torch_dispatch_stack
_modes = torch._C._len_torch_function_stack
_function_modes: Any = torch.overrides._get_current_function_mode_stack
_ORDINARY = (Tensor, nn.Parameter)
_task = torch._C._current_graph_task_id


@dataclass(frozen=True, slots=True)
class Traits:
    """What the watch does about one function of torch."""

    name: str
    """PyTorch's own: `relu`, `__iadd__`."""
    is_python: bool
    looks: bool
    """It reads an attribute, `x.shape`."""
    writes: bool
    binds: bool
    """It is a method in place or an augmented assignment, whose result the user's code may bind to a name."""
    gives: bool
    uncounted: bool
    """It writes and moves no version counter: a fused optimizer's step, `w.data = x`."""
    statistics: bool
    """It may write to its running statistics, which moves no version counter."""
    makes: str | None
    """What it makes that may not be written to, in the words of `makers`."""


@lru_cache(maxsize=8192)
def traits_of(function: Any) -> Traits:
    """Return what the watch does about a function."""
    name = operation_name(function)
    binds = (name.endswith("_") and not name.endswith("__")) or (name.startswith("__i") and name not in _NOT_IN_PLACE)
    fused = name.startswith("_fused_")
    owner = getattr(getattr(function, "__self__", None), "__name__", "")
    sets = name == "__set__" and owner in ("data", "real", "imag")
    return Traits(
        name=name,
        is_python=type(function) is FunctionType,
        looks=type(function) is MethodWrapperType and name == "__get__",
        writes=binds or name == "__setitem__" or sets or fused,
        binds=binds,
        gives=name in GIVING,
        uncounted=fused or sets,
        statistics=function in (nn.functional.batch_norm, nn.functional.instance_norm),
        makes=kind_of(function),
    )


class Seen:
    """What one watch has seen, in all the threads that it watches."""

    def __init__(self) -> None:
        self.backwards = self.saved = self.writes = 0
        self.layers, self.aliases = Layers(), Aliases()
        self.pages: Pages = {}
        self.makers: Makers[CallSite] = Makers()
        self.given: dict[int, tuple[Any, CallSite]] = {}
        """By storage: memory that NumPy has, and the line that gave it."""

        self.recomputed: Any = WeakIdKeyDictionary()
        """What other hooks on saved tensors keep, by its tensor: a checkpoint hands that on to its other hooks."""

    def found(self, findings: tuple[Finding, ...]) -> Exception | None:
        """Take what was found; nothing when a backward begins.

        Return what to raise in place of PyTorch's error; None raises that.
        """
        raise NotImplementedError


class Watcher(TorchFunctionMode):
    """Watches one thread, from `__enter__` to `__exit__`."""

    def __init__(self, watch: Seen) -> None:
        super().__init__()
        self.watch = watch
        self._running: str = ""
        """The function of torch that runs."""
        self._site: CallSite | None = None
        """Where that was called, once it has saved anything."""
        self._stale: dict[int, dict[Saved, Finding]] = {}
        """What each running backward has found."""
        self._onto_expanded: deque[tuple[CallSite, CallSite | None, str | None, Tensor]] = deque(maxlen=8)
        """Writes to expanded tensors that PyTorch lets pass, and refuses in the backward. The tensor has no memory."""
        self._last_saved: dict[object, int] = {}
        """For each line that saves, the number of what it saved last."""
        self._began: dict[object, tuple[int, int]] = {}
        """For each line that goes backward, how much was saved when it began last, and the time before that."""
        self._last: Callable[[], Saved | None] = lambda: None
        """The saved tensor that a backward has asked for last."""
        self._copied: weakref.WeakSet[Saved] = weakref.WeakSet()
        """What was copied before a write past its version counter."""
        self._called_from: list[tuple[CallSite, FrameType]] = []
        """Where each running backward was called, the innermost last."""

    def __enter__(self) -> Watcher:
        _of_thread.watcher = self
        super().__enter__()  # type: ignore[no-untyped-call]
        torch._C._autograd._push_saved_tensors_default_hooks(self._pack, self._unpack)
        return self

    def __exit__(self, *raised: object) -> None:
        torch._C._autograd._pop_saved_tensors_default_hooks()
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        _of_thread.watcher = None

    # Every function of torch.

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch that this thread calls, and note what it wrote."""
        traits, frame = traits_of(function), _getframe(1)
        kwargs = kwargs or {}
        if traits.looks:
            return calling_from(frame)(function, args, kwargs)
        if function in _BACKWARDS:
            return _call_here(function, args, kwargs)
        switched = kwargs.get("inplace") is True
        writes = traits.writes or switched or kwargs.get("out") is not None
        watch, saved = self.watch, self.watch.pages
        watch.writes += writes
        if (saved and (writes or traits.statistics)) or traits.gives:
            self._before(args, kwargs, traits, frame)
        outer, self._running, self._site = (self._running, self._site), traits.name, None
        try:
            call = _call_here if traits.is_python else calling_from(frame)
            result = call(function, args, kwargs)
        except RuntimeError as error:
            self._refuse(error, args, kwargs, traits.name, frame)
            raise
        finally:
            self._running, self._site = outer
        if saved or watch.aliases.pending:
            with _PLAIN():
                self._after(args, kwargs, traits, frame, writes, result)
        if writes and watch.makers.known:
            self._note_write(args, kwargs, traits.name, frame)
        if traits.binds or switched:
            watch.aliases.wrote(traits.name, args, switched, frame)
        if traits.makes is not None or _is_inference() or "requires_grad" in kwargs:
            return watch.makers.remember(traits.makes, args, kwargs, result, partial(call_site, traits.name, frame))
        return result

    def _before(self, args: Any, kwargs: Any, traits: Traits, frame: FrameType) -> None:
        """Take the fingerprint of what is saved and about to be written to, or given away, past the version counter."""
        if traits.statistics:  # they stand behind the input
            args, kwargs = args[1:3], {name: kwargs.get(name) for name in ("running_mean", "running_var")}
        with _PLAIN():
            for _, tensor in operands(args, kwargs):
                for saved in saved_of(self.watch.pages, tensor):
                    if traits.gives or saved.hooked:
                        saved.remember(copied=False)
                    elif (
                        traits.uncounted
                        or traits.statistics
                        or not (tensor.is_inference() or shares_counter(tensor, saved.alias))
                    ):
                        saved.remember(copied=True)
                        self._copied.add(saved)
                if traits.gives and (key := key_of(tensor)) is not None:
                    given = self.watch.given
                    for gone in [k for k, (storage, _) in given.items() if is_gone(storage)]:
                        del given[gone]
                    given[key] = weak_ref(tensor), call_site(traits.name, frame, whole=True)

    def _after(self, args: Any, kwargs: Any, traits: Traits, frame: FrameType, writes: bool, result: Any) -> None:
        """Note which saved tensors a function has written to, and which it has read through another name."""
        pages, aliases = self.watch.pages, self.watch.aliases
        target = _target(args, kwargs) if writes else None
        for _, tensor in operands(args, kwargs):
            key = key_of(tensor)
            if key in pages or traits.uncounted:
                self._note_overwritten(tensor, args, traits.name, frame, writes or traits.statistics)
            # To make a view is not to read.
            if key in aliases.pending and tensor is not target and (writes or not _is_view_of(key, result)):
                aliases.read(tensor, frame)

    def _note_overwritten(self, tensor: Tensor, args: Any, name: str, frame: FrameType, writes: bool) -> None:
        site = None
        # `w.data = x` has given it another storage.
        for saved in saved_of(self.watch.pages, tensor) or [each for each in self._copied if each.alias is tensor]:
            version = saved.alias._version
            # A fingerprint stays different after the first write.
            if version == saved.seen and not (writes and not saved.writers and saved.has_changed()):
                continue
            saved.seen = version
            site = site or call_site(name, frame, whole=True)
            elsewhere = apart(region_of(_part(tensor, name, args)), region_of(saved.alias))
            known_as, item = name_of(tensor, frame), writes_to_an_item(frame)
            saved.writers += (Write(site, known_as, tensor.numel(), version, elsewhere, item),)

    def _note_write(self, args: Any, kwargs: Any, name: str, frame: FrameType) -> None:
        target = _target(args, kwargs)
        if isinstance(target, Tensor):
            self.watch.makers.wrote(target, partial(call_site, name, frame, True))
            if target.requires_grad and overlaps_itself(target):
                bare = torch.empty(target.shape, dtype=target.dtype, device="meta")
                site = call_site(name, frame, whole=True)
                self._onto_expanded.append((site, self.watch.makers.of(target), name_of(target, frame), bare))

    # What autograd saves.

    def _pack(self, tensor: Tensor) -> Any:
        is_ordinary = type(tensor) in _ORDINARY
        if is_ordinary and not (_modes() or _dispatch_modes()):
            return self._save(tensor, _getframe(1))
        # A mode of the user's may count the operators; a subclass may need its own.
        with _PLAIN(), _NO_DISPATCH() if is_ordinary else nullcontext():
            return self._save(tensor, _getframe(1))

    def _save(self, tensor: Tensor, frame: FrameType) -> Any:
        try:
            # The result itself would make a cycle: result, grad_fn, hook, result.
            alias = tensor if tensor.grad_fn is None else tensor.detach()
            version = tensor._version
        except RuntimeError:  # a wrapper of torch.func, an inference tensor
            return tensor
        self.watch.saved += 1
        # One call of a function saves several; a backward runs code of the user's that saves.
        site = self._site or call_site(self._running, frame)
        if self._running != "backward":
            self._site = site
        saved = self._saved(alias, version, site)
        saved.number = self._last_saved[_line_key(site)] = self.watch.saved
        return saved

    def _saved(self, alias: Tensor, version: int, site: CallSite) -> Saved:
        saved = Saved(alias, version, site, self.watch.pages)
        if saved.key in self.watch.given:
            saved.remember(copied=False)
        return saved

    def _unpack(self, held: Any) -> Tensor:
        if type(held) is not Saved:
            tensor: Tensor = held
            return tensor
        saved = held
        if saved.instead is not None:
            return saved.instead
        self._last = weakref.ref(saved)
        with _PLAIN():
            if saved.alias._version != saved.version:
                self._meet(saved)
            elif saved.before is not None and not saved.judged:
                self._compare(saved)
        return saved.alias

    # Beside other hooks on saved tensors, where PyTorch compares no version.

    def _pack_beside(self, pack: Any, tensor: Tensor) -> Any:
        packed = pack(tensor)
        self.watch.saved += 1
        with _PLAIN():
            # `save_on_cpu` keeps a device beside it.
            for _, kept in operands(packed if isinstance(packed, tuple) else (packed,), {}):
                if key_of(kept) == key_of(tensor) is not None:
                    alias = kept.detach()
                    saved = self._saved(alias, alias._version, call_site(self._running, sys._getframe(1)))
                    saved.hooked = True
                    self.watch.recomputed[kept] = saved
                    return Packed(packed, saved)
        return packed

    def _unpack_beside(self, unpack: Any, held: Any) -> Any:
        packed, saved = held if type(held) is Packed else (held, None)
        value = unpack(packed)
        if saved is None and isinstance(value, Tensor):
            saved = self.watch.recomputed.get(value)
        if saved is not None and saved.before is not None:
            with _PLAIN():
                self._compare(saved)
        return value

    # What a backward finds.

    def go_backward(self, run: Any, args: Any, kwargs: Any) -> Any:
        """Run the engine with the watch on: hooks and custom backwards are the user's code."""
        frame = _getframe(2)
        site = call_site("backward", frame, whole=True)
        self.watch.backwards += 1
        self._began[site.frames] = self.watch.saved, self._began.get(site.frames, (-1, -1))[0]
        self.watch.found(())
        begun = set(self._stale)
        outer, self._running = self._running, "backward"
        self._called_from.append((site, frame))
        is_off = all(mode is not self for mode in _function_modes())
        if is_off:  # a mode is off while it handles a function
            super().__enter__()  # type: ignore[no-untyped-call]
        judging = self._judge_nodes(args[0]) if self._copied else []
        try:
            return run(*args, **kwargs)
        except Exception as error:
            ended = [task for task in self._stale if task not in begun]
            if ended:  # something else has ended that backward, which PyTorch would have ended before
                self._end(ended[0])
            if isinstance(error, RuntimeError):
                self._refuse(error, args, kwargs, "backward", frame)
            raise
        finally:
            if is_off:
                super().__exit__(None, None, None)  # type: ignore[no-untyped-call]
            for handle in judging:
                handle.remove()
            self._called_from.pop()
            self._running = outer

    def _judge_nodes(self, outputs: Any) -> list[Any]:
        """Have each node that saved what was copied judged when it has run. Return the handles of the hooks."""
        handles = []
        for node in nodes_behind(output for output in outputs if isinstance(output, Tensor)):
            copied = [saved for saved in saved_at(node) if saved.kept is not None]
            if copied:
                for saved in copied:
                    saved.judged = True
                handles.append(node.register_hook(partial(self._judge, node, copied)))
        return handles

    def _judge(self, node: Any, copied: list[Saved], given: Any, received: Any) -> None:
        with _PLAIN():
            changed = [saved for saved in copied if saved.alias._version == saved.version and saved.has_changed()]
            if changed and is_wrong(node, changed, given, received):
                for saved in changed:
                    self._compare(saved)

    def _finding(self, saved: Saved, writes: tuple[Write, ...], loud: bool) -> Finding:
        here = _getframe(1)
        # Outside of a backward somebody looks at a node of the graph.
        site, frame = (self._called_from or [(call_site("backward", here), here)])[-1]
        before = self._began.get(site.frames, (-1, -1))[1]
        # Else one forward is gone backward through again and again.
        carried = self._last_saved.get(_line_key(saved.site), 0) > before >= saved.number > 0
        return overwritten_one(saved, writes, site, frame, self.watch.layers, loud, carried)

    def _meet(self, saved: Saved) -> None:
        """Note a stale tensor. PyTorch raises here; the watch does so at the end of that backward."""
        task = _task()
        if task < 0:  # somebody looks at a node of the graph
            raise RuntimeError(words_for(saved))
        known = self._stale.setdefault(task, {})
        known[saved] = self._finding(saved, saved.writers, loud=True)
        if torch.is_anomaly_enabled():  # PyTorch names the node that raises
            self._end(task)
        if len(known) == 1:
            torch.autograd.Variable._execution_engine.queue_callback(lambda: self._end(task))

    def _end(self, task: int) -> None:
        """Raise at the end of a backward that PyTorch would not have ended."""
        stale = self._stale.pop(task, None)
        if stale:
            error = self.watch.found((*stale.values(),))
            raise error if error is not None else RuntimeError(next(iter(stale.values())).words)

    def _compare(self, saved: Saved) -> None:
        """Tell of a saved tensor whose elements have changed and whose version counter has not."""
        if not saved.has_changed():
            return
        writes = saved.writers
        if not writes and saved.key in self.watch.given:
            writes = (Write(self.watch.given[saved.key][1], None, saved.alias.numel(), saved.version, elsewhere=False),)
        finding = self._finding(saved, writes, loud=False)
        if _is_own_edit(saved, writes):
            if finding.overwritten_by and finding.raised_at is not None:
                name, written = finding.tensor.name or "a parameter", finding.overwritten_by[0].site
                look = WorthALook(written, finding.raised_at, name, PAST_AUTOGRAD)
                self.watch.aliases.found.setdefault(look, look)
            return
        self.watch.found((finding,))

    def _refuse(self, error: RuntimeError, args: Any, kwargs: Any, name: str, frame: FrameType) -> None:
        """Tell of a write that PyTorch refuses, and raise what is to be raised for it."""
        refusal = refusal_in(error)
        if refusal is None:
            return
        site, tensor = call_site(name, frame, whole=True), refusal.tensor_of(args, kwargs)
        made_by: CallSite | None = None
        known_as: str | None = None
        writes: tuple[CallSite, ...] = ()
        if refusal is SLOPE:
            saved = self._last()
            tensor, made_by = (None, None) if saved is None else (saved.alias, saved.site)
        elif name == "backward" and refusal is EXPANDED and self._onto_expanded:
            _, made_by, known_as, tensor = self._onto_expanded[-1]
            writes = tuple(writer for writer, *_ in self._onto_expanded)
        if tensor is None:
            return
        with _PLAIN():
            made_by = _hooked_at(frame) if refusal is HOOK else made_by or self.watch.makers.of(tensor)
            if refusal is LOST:
                writes = self.watch.makers.writes(tensor)
            layers, given = self.watch.layers, operands(args[1:], kwargs)
            is_gradient = any(each.requires_grad for _, each in given)
            finding = refused_one(refusal, error, tensor, site, frame, layers, made_by, writes, known_as, is_gradient)
        instead = self.watch.found((finding,))
        if instead is not None:
            raise instead from None


def _is_own_edit(saved: Saved, writes: tuple[Write, ...]) -> bool:
    """
    Return whether a module edits past autograd what it saves further below, in a later forward than the one that saved.

    A power iteration (spectral norm by `.data`) does so, and means it.
    """
    module, edits = saved.site.module(), [write.site for write in writes]
    if module is None or not edits or any(edit.module() is not module for edit in edits):
        return False
    return all(edits_for_itself(edit.frames, saved.site.frames) for edit in edits)


def _line_key(site: CallSite) -> tuple[int, int]:
    """Return what tells one instruction from another: code is compared by its content, and hashed by it."""
    return (id(site.frames[0][0]), site.frames[0][1]) if site.frames else (0, 0)


def _call_here(function: Any, args: Any, kwargs: Any) -> Any:
    return function(*args, **kwargs)


def _is_view_of(key: int | None, result: Any) -> bool:
    """Return whether a result, or one of several, has the storage with this key."""
    return any(key_of(made) == key for _, made in operands((result,), {}))


def _target(args: Any, kwargs: Any) -> Any:
    """Return what a function that writes is given to write to."""
    return kwargs.get("out", args[0] if args else None)


def _part(tensor: Tensor, name: str, args: Any) -> Tensor:
    """Return the part of a tensor that a function writes to: of `x[i] = y` the view `x[i]`, if that is one."""
    is_target: bool = name == "__setitem__" and tensor is args[0]
    if not is_target:
        return tensor
    parts = args[1] if isinstance(args[1], tuple) else (args[1],)
    if any(isinstance(part, (Tensor, list, bool)) for part in parts):
        return tensor
    with torch.no_grad():
        view: Tensor = tensor[args[1]]
        return view


def _hooked_at(frame: FrameType) -> CallSite | None:
    """Return where a full backward hook is defined that a module of the user's has."""
    for _, outer in modules_in(frame):
        for module in outer.modules():
            for hook in (*module._backward_hooks.values(), *module._backward_pre_hooks.values()):
                code = code_of(hook)
                if code is not None:
                    return CallSite("register_full_backward_hook", ((code, -2),), weakref.ref(module))
    return None


class _OfThread(threading.local):
    watcher: Watcher | None = None


_of_thread = _OfThread()


def entering_beside(enter: Any) -> Any:
    """Return what takes the place of `saved_tensors_hooks.__enter__`: the watch sees what other hooks keep."""

    @functools.wraps(enter)
    def entering(hooks: Any) -> Any:
        watcher, own = _of_thread.watcher, (hooks.pack_hook, hooks.unpack_hook)
        if watcher is None:
            return enter(hooks)
        hooks.pack_hook = partial(watcher._pack_beside, own[0])
        hooks.unpack_hook = partial(watcher._unpack_beside, own[1])
        try:
            return enter(hooks)
        finally:
            hooks.pack_hook, hooks.unpack_hook = own

    return entering


def running_engine(run: Any) -> Any:
    """Return what takes the place of torch.autograd's function that runs the engine: the watch goes on there."""

    @functools.wraps(run)
    def run_backward(*args: Any, **kwargs: Any) -> Any:
        watcher = _of_thread.watcher
        return run(*args, **kwargs) if watcher is None else watcher.go_backward(run, args, kwargs)

    return run_backward


passing_on |= {
    each.__code__ for each in (Watcher.__torch_function__, Watcher.go_backward, running_engine(_call_here), _call_here)
}
