"""Which tensors a network's forward hooks were given: those who may hold what a call overwrites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from relu_demo.network.state.contents import tensors
from relu_demo.sanitizer.hooks import code_of, keeping_line, name_of
from relu_demo.sanitizer.place import Place
from relu_demo.tensors.storage import is_gone, key_of, weak_ref


class Hooked:
    """Follows which hooks are given what. `path_of` names a module."""

    def __init__(self, path_of: Callable[[nn.Module], str]) -> None:
        self._path_of = path_of
        self.switched_on: dict[str, str] = {}
        """Path and class of each module that ran with `inplace=True`."""
        self._given: dict[int, tuple[StorageWeakRef, dict[Place, None]]] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside the block, see each module before its own hooks are called."""
        before = register_module_forward_pre_hook(lambda module, args: self._note(module, args, is_output=False))
        after = register_module_forward_hook(lambda module, args, output: self._note(module, output, is_output=True))
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def holding(self, key: int | None) -> tuple[Place, ...]:
        """Return the lines of the hooks that were given a storage, which is still alive; none if none was."""
        ref, places = self._given.get(-1 if key is None else key, (None, {}))
        return () if ref is None or is_gone(ref) else tuple(places)

    def _note(self, module: nn.Module, values: Any, is_output: bool) -> None:
        if not is_output and getattr(module, "inplace", False) is True:
            self.switched_on[self._path_of(module)] = type(module).__name__
        # A forward hook gets the inputs too, and a pre-hook nothing else.
        hooks = [*module._forward_hooks.values(), *(() if is_output else module._forward_pre_hooks.values())]
        if not hooks:
            return
        places = [self._place(module, hook) for hook in hooks]
        for tensor in tensors(values):
            key = key_of(tensor)
            if key is None:
                continue
            known = self._given.get(key)
            if known is None or is_gone(known[0]):
                known = self._given[key] = weak_ref(tensor), {}
            known[1].update(dict.fromkeys(places))

    def _place(self, module: nn.Module, hook: Any) -> Place:
        code = code_of(hook)
        if code is None:
            return Place("kept", self._path_of(module), hook=name_of(hook))
        line = keeping_line(code) or code.co_firstlineno
        return Place("kept", self._path_of(module), code.co_filename, line, name_of(hook))
