"""The parts of PyTorch that no mode and no hook can enter: named as not watched, and run as they run without a watch.

For as long as a watch or a run of a check lasts, in whichever thread, the functions that lead into them are replaced by
ones that step aside.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.utils.checkpoint
from torch.utils import _python_dispatch

from relu_demo.sanitizer.frames import apply_in_python
from relu_demo.sanitizer.patches import replaced

TellUnwatched = Callable[[str, str], None]
"""Is told what is not watched, and why."""

_changing = threading.Lock()
_listeners: list[tuple[int, TellUnwatched]] = []
"""Who is told, each with its thread, in the order in which they began."""
_patches = ExitStack()
"""Puts everything back, when the last one ends."""


class _Entered(threading.local):
    """The default hooks on saved tensors that this thread has entered: PyTorch before 2.8 does not tell them."""

    def __init__(self) -> None:
        self.pairs: list[Any] = []


_entered = _Entered()


@contextmanager
def stepping_aside(unwatched: TellUnwatched) -> Iterator[None]:
    """Inside the block, have the watch step aside where PyTorch does not bear it."""
    listener = threading.get_ident(), unwatched
    with _changing:
        if not _listeners:
            _replace()
        _listeners.append(listener)
    try:
        yield
    finally:
        with _changing:
            _listeners.remove(listener)
            if not _listeners:
                _patches.close()


def _replace() -> None:
    _entered.pairs.clear()
    if "torch._dynamo" in sys.modules:  # else nothing is compiled yet, and the import takes a second
        _run_uncompiled()
    for owner, name, wrap in (
        (torch.jit, "trace", _traced),
        (torch.jit, "trace_module", _traced),
        (sys.modules.get("torch.jit._trace"), "trace", _traced),
        (torch._C._autograd, "_push_saved_tensors_default_hooks", _pushing),
        (torch._C._autograd, "_pop_saved_tensors_default_hooks", _popping),
        (torch.autograd.graph, "disable_saved_tensors_hooks", _transformed),
        (torch, "compile", _compiling),
        (torch, "cond", _branching),
        (torch.autograd.Function, "apply", _framed),
    ):
        if hasattr(owner, name):
            _patches.enter_context(replaced(owner, name, wrap))


def _run_uncompiled() -> None:
    """Call the original function of all that torch.compile has made, so that modes and hooks see its operations."""
    _patches.enter_context(torch.compiler.set_stance("force_eager"))


def _tell(what: str, why: str) -> None:
    """Tell the listeners of this thread; in a thread that another one has begun all."""
    own = [unwatched for thread, unwatched in _listeners if thread == threading.get_ident()]
    for unwatched in own or [unwatched for _, unwatched in _listeners]:
        unwatched(what, why)


def _pushing(original: Any) -> Any:
    @functools.wraps(original)
    def push(*pair: Any) -> None:
        original(*pair)
        _entered.pairs.append(pair)

    return push


def _popping(original: Any) -> Any:
    @functools.wraps(original)
    def pop() -> None:
        original()
        if _entered.pairs:
            _entered.pairs.pop()

    return pop


@contextmanager
def _without_hooks() -> Iterator[None]:
    hooks, pairs = torch._C._autograd, [*_entered.pairs]
    for _ in pairs:
        hooks._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for pair in pairs:
            hooks._push_saved_tensors_default_hooks(*pair)


def _traced(original: Any) -> Any:
    """`torch.jit.trace`: its tracer and a dispatch mode exclude each other."""

    @functools.wraps(original)
    def trace(*args: Any, **kwargs: Any) -> Any:
        _tell("torch.jit.trace", "what it traces is not watched")
        with torch._C.DisableTorchFunction(), _python_dispatch._disable_current_modes(), _without_hooks():
            return original(*args, **kwargs)

    return trace


def _transformed(original: Any) -> Any:
    """`torch.func.grad` and its like refuse to run where there are hooks on saved tensors."""

    @contextmanager
    def disable_saved_tensors_hooks(message: str) -> Iterator[None]:
        _tell("torch.func", "what its gradients save is not watched")
        with _without_hooks(), original(message):
            yield

    return disable_saved_tensors_hooks


def _compiling(original: Any) -> Any:
    """`torch.compile`: what it makes runs uncompiled."""

    @functools.wraps(original)
    def compile(*args: Any, **kwargs: Any) -> Any:
        _tell("torch.compile", "what it compiles runs uncompiled")
        result = original(*args, **kwargs)
        with _changing:
            if _listeners:
                _run_uncompiled()
        return result

    return compile


def _branching(original: Any) -> Any:
    """`torch.cond`, which would compile both branches: run the one that is taken, as its result is defined."""

    @functools.wraps(original)
    def cond(pred: Any, true_fn: Any, false_fn: Any, operands: Any = ()) -> Any:
        return (true_fn if bool(pred) else false_fn)(*operands)

    return cond


def _framed(original: Any) -> Any:
    """`autograd.Function.apply`, which must run in a frame: that tells which Function saves a tensor."""
    return original if hasattr(original, "__func__") else classmethod(apply_in_python)


_GENERATOR = "_checkpoint_without_reentrant_generator"
if hasattr(torch.utils.checkpoint, f"{_GENERATOR}_impl"):  # from PyTorch 2.14 on
    _GENERATOR += "_impl"


@contextmanager
def without_checkpoints() -> Iterator[list[str]]:
    """Inside the block, have torch.utils.checkpoint run its function as any other, and nothing again in backward.

    Yield a list, in which it notes each time that it was called.
    """
    module: Any = torch.utils.checkpoint
    called: list[str] = []

    class CheckpointFunction:
        @staticmethod
        def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
            called.append("reentrant")
            return function(*args)

    def generator(*args: Any, **kwargs: Any) -> Iterator[None]:
        called.append("not reentrant")
        yield

    instead = {"CheckpointFunction": CheckpointFunction, _GENERATOR: generator}
    before = {name: getattr(module, name) for name in instead}
    vars(module).update(instead)
    try:
        yield called
    finally:
        vars(module).update(before)
