"""The silent faults of forward hooks: one reads what its module overwrote, one keeps what is overwritten later."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import CodeType, FrameType
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from relu_demo.sanitizer.frames import Stand, stand
from relu_demo.sanitizer.hooks import code_of, keeping_line, name_of
from relu_demo.sanitizer.place import Place
from relu_demo.tensors.storage import Region, is_gone, key_of, overlap, region_of, weak_ref

MOST = 32
"""Times that all objects are looked through for who keeps a tensor: each takes a tenth of a second."""


@dataclass(frozen=True)
class Hooked:
    """A fault of a hook."""

    tensor: Tensor
    name: str
    writer: Place
    read_at: tuple[str, int]
    kept_at: Place | None
    """The hook's line that kept the tensor; None where the hook itself reads it."""


@dataclass
class Given:
    """A tensor that hooks were given."""

    tensor: weakref.ref[Tensor]
    storage: Any
    region: Region | None
    version: int
    module: str
    codes: dict[CodeType, Callable[..., Any]]
    is_output: bool
    writer: Place | None = None
    kept: Place | None = None


class Hooks:
    """Follows what forward hooks are given. `path_of` names a module."""

    def __init__(self, path_of: Callable[[nn.Module], str]) -> None:
        self.path_of = path_of
        self._given: dict[int, Given] = {}
        self._looked = 0
        self._registered: dict[int, tuple[weakref.ref[nn.Module], str | None, int | None]] = {}
        self._behind: dict[int, tuple[Any, Place]] = {}
        """By storage: what passed a full backward hook, and where that hook was registered."""

    def registered(self, tensor: Tensor) -> Place | None:
        """Return where the full backward hook was registered that a tensor has passed; None if that was not seen."""
        storage, place = self._behind.get(key_of(tensor) or 0, (None, None))
        return place if storage is not None and not is_gone(storage) else None

    def _pass(self, module: nn.Module, values: Any) -> None:
        known = self._registered.get(id(module))
        place = Place("register_full_backward_hook", self.path_of(module))
        if known is not None and known[0]() is module:
            place = replace(place, file=known[1], line=known[2])
        else:
            code = next((getattr(hook, "__code__", None) for hook in module._backward_hooks.values()), None)
            place = replace(place, file=code.co_filename, line=code.co_firstlineno) if code is not None else place
        for tensor in values if isinstance(values, (tuple, list)) else (values,):
            key = key_of(tensor) if isinstance(tensor, Tensor) else None
            if key is not None:
                self._behind[key] = weak_ref(tensor), place

    @property
    def pending(self) -> bool:
        """Whether any hook was given a tensor."""
        return bool(self._given)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside the block, see each module that has hooks before and after its forward, and where it got them."""
        original = nn.Module.register_full_backward_hook

        @functools.wraps(original)
        def register(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            found = stand(None)
            self._registered[id(module)] = weakref.ref(module), found.file, found.line
            return original(module, *args, **kwargs)

        with ExitStack() as stack:
            setattr(nn.Module, "register_full_backward_hook", register)  # noqa: B010 - it is a method
            stack.callback(setattr, nn.Module, "register_full_backward_hook", original)
            stack.callback(register_module_forward_pre_hook(self._before).remove)
            stack.callback(register_module_forward_hook(self._after).remove)
            yield

    def wrote(self, tensor: Tensor, place: Callable[[], Place]) -> None:
        """Note a write that is about to happen."""
        given = self._given_of(tensor)
        if given is None:
            return
        given.writer = place()
        if given.is_output and given.kept is None and self._looked < MOST:
            self._looked += 1
            given.kept = _keeper(given)

    def read(self, tensor: Tensor, here: Callable[[], Stand]) -> Hooked | None:
        """Return the fault if a hook's overwritten tensor is read; None otherwise."""
        given = self._given_of(tensor)
        if given is None or given.writer is None or tensor._version == given.version:
            return None
        found = here()
        if found.file is None or found.line is None or found.outputs is not None:
            return None
        in_hook = not given.is_output and found.code in given.codes
        # What a hook keeps is read when the network has run.
        if in_hook or (given.kept is not None and found.module is None):
            del self._given[key_of(tensor) or 0]
            what = "output" if given.is_output else "input"
            name = f"the {what} of {given.module}"
            return Hooked(tensor, name, given.writer, (found.file, found.line), given.kept)
        return None

    def _given_of(self, tensor: Tensor) -> Given | None:
        if not self._given:
            return None
        key = key_of(tensor)
        given = self._given.get(key) if key is not None else None
        if given is not None and is_gone(given.storage):
            del self._given[key or 0]
            return None
        return given if given is not None and overlap(given.region, region_of(tensor)) else None

    def _before(self, module: nn.Module, args: Any) -> None:
        if module._backward_hooks:
            self._pass(module, args)
        if module._forward_hooks:
            self._note(module, args, is_output=False)

    def _after(self, module: nn.Module, args: Any, output: Any) -> None:
        if module._backward_hooks:
            self._pass(module, output)
        if module._forward_hooks:
            self._note(module, output, is_output=True)

    def _note(self, module: nn.Module, values: Any, is_output: bool) -> None:
        codes = {code: hook for hook in module._forward_hooks.values() for code in [code_of(hook)] if code}
        for tensor in values if isinstance(values, (tuple, list)) else (values,):
            key = key_of(tensor) if isinstance(tensor, Tensor) and not tensor.is_inference() else None
            if key is None or (is_output and key in self._given):
                continue
            self._given[key] = Given(
                weakref.ref(tensor),
                weak_ref(tensor),
                region_of(tensor),
                tensor._version,
                self.path_of(module),
                codes,
                is_output,
            )


def _keeper(given: Given) -> Place | None:
    """Return the hook's line that keeps the tensor; None if no hook does."""
    tensor = given.tensor()
    if tensor is None:
        return None
    keeps = any(
        isinstance(holder, (dict, list, tuple)) and not _is_frames(holder) for holder in gc.get_referrers(tensor)
    )
    for code, hook in given.codes.items() if keeps else ():
        line = keeping_line(code)
        if line is not None:
            return Place(name_of(hook), given.module, code.co_filename, line)
    return None


def _is_frames(holder: Any) -> bool:
    """Whether a container is only on its way: the arguments of a running call, or a frame's variables."""
    if isinstance(holder, dict) and "__builtins__" in holder:
        return False
    if isinstance(holder, tuple):
        return True
    return any(isinstance(one, FrameType) and one.f_locals is holder for one in gc.get_referrers(holder))
