"""
The parts of PyTorch that no mode and no hook can enter: named as not watched, and run as they run without a watch.

For as long as a watch or a run of a check lasts, the functions that lead into them are replaced by ones that step
aside.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _python_dispatch

from relu_demo.sanitizer.eager import uncompiled

Unwatched = Callable[[str, str], None]
"""Is told what is not watched, and why."""


@contextmanager
def stepping_aside(unwatched: Unwatched) -> Iterator[None]:
    """Inside the block, have the watch step aside where PyTorch does not bear it."""
    with ExitStack() as stack:
        stack.enter_context(uncompiled())
        stack.enter_context(_hooks_noted())
        stack.enter_context(_subclasses_made())
        aside = _Aside(unwatched, stack)
        for owner, name, wrap in (
            (torch.jit, "trace", aside.traced),
            (torch.jit, "trace_module", aside.traced),
            (sys.modules.get("torch.jit._trace"), "trace", aside.traced),
            (torch.autograd.graph, "disable_saved_tensors_hooks", aside.transformed),
            (torch, "compile", aside.compiled),
            (torch, "cond", _branching),
        ):
            before = getattr(owner, name, None)
            if before is not None:
                setattr(owner, name, wrap(before))
                stack.callback(setattr, owner, name, before)
        yield


@dataclass(frozen=True)
class _Aside:
    """What takes the place of functions of PyTorch while a watch lasts."""

    unwatched: Unwatched
    stack: ExitStack

    def traced(self, original: Any) -> Any:
        """`torch.jit.trace`: its tracer and a dispatch mode exclude each other."""

        @functools.wraps(original)
        def trace(*args: Any, **kwargs: Any) -> Any:
            self.unwatched("torch.jit.trace", "what it traces is not watched")
            with without_modes(), without_hooks():
                return original(*args, **kwargs)

        return trace

    def transformed(self, original: Any) -> Any:
        """`torch.func.grad` and its like refuse to run where there are hooks on saved tensors."""

        @contextmanager
        def disable_saved_tensors_hooks(message: str) -> Iterator[None]:
            self.unwatched("torch.func", "what its gradients save is not watched")
            with without_hooks(), original(message):
                yield

        return disable_saved_tensors_hooks

    def compiled(self, original: Any) -> Any:
        """`torch.compile`: what it makes runs uncompiled."""

        @functools.wraps(original)
        def compile(*args: Any, **kwargs: Any) -> Any:
            self.unwatched("torch.compile", "what it compiles runs uncompiled")
            result = original(*args, **kwargs)
            if not _is_eager():
                self.stack.enter_context(uncompiled())
            return result

        return compile


def _branching(original: Any) -> Any:
    """`torch.cond`, which would compile both branches: run the one that is taken, as its result is defined."""

    @functools.wraps(original)
    def cond(pred: Any, true_fn: Any, false_fn: Any, operands: Any = ()) -> Any:
        return (true_fn if bool(pred) else false_fn)(*operands)

    return cond


def _is_eager() -> bool:
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    return getattr(getattr(dynamo, "_stance", None), "stance", "") == "force_eager"


@contextmanager
def without_hooks() -> Iterator[None]:
    """Inside the block, have no default hooks on saved tensors."""
    hooks = torch._C._autograd
    taken: list[Any] = []
    while (pair := _top_hooks()) is not None:
        taken.append(pair)
        hooks._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for pair in reversed(taken):
            hooks._push_saved_tensors_default_hooks(*pair)


_noted = threading.local()
"""`.pairs`: the default hooks on saved tensors that this thread has entered, where PyTorch does not tell them."""


def _top_hooks() -> Any:
    top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    if top is not None:
        return top(True)
    pairs = getattr(_noted, "pairs", [])
    return pairs[-1] if pairs else None


@contextmanager
def _hooks_noted() -> Iterator[None]:
    """Inside the block, note which hooks on saved tensors are entered: PyTorch 2.6 and older do not tell them."""
    hooks: Any = torch._C._autograd
    push, pop = hooks._push_saved_tensors_default_hooks, hooks._pop_saved_tensors_default_hooks
    if hasattr(hooks, "_top_saved_tensors_default_hooks") or hasattr(push, "__wrapped__"):
        yield
        return

    @functools.wraps(push)
    def noted_push(*pair: Any) -> None:
        push(*pair)
        _noted.__dict__.setdefault("pairs", []).append(pair)

    @functools.wraps(pop)
    def noted_pop() -> None:
        pop()
        if getattr(_noted, "pairs", []):
            _noted.pairs.pop()

    hooks._push_saved_tensors_default_hooks, hooks._pop_saved_tensors_default_hooks = noted_push, noted_pop
    try:
        yield
    finally:
        hooks._push_saved_tensors_default_hooks, hooks._pop_saved_tensors_default_hooks = push, pop


@contextmanager
def _subclasses_made() -> Iterator[None]:
    """
    Inside the block, have `as_subclass` run outside of dispatch modes.

    PyTorch 2.5 and older cannot give a class to what a mode returned: "the raw Tensor object is already associated".
    """
    # a TorchVersion compares numbers, not letters
    if torch.__version__ >= "2.6" or "as_subclass" in vars(torch.Tensor):
        yield
        return
    original: Any = torch.Tensor.as_subclass

    @functools.wraps(original)
    def as_subclass(tensor: torch.Tensor, cls: Any) -> Any:
        with _python_dispatch._disable_current_modes():
            return original(tensor, cls)

    setattr(torch.Tensor, "as_subclass", as_subclass)  # noqa: B010 - it is a method
    try:
        yield
    finally:
        delattr(torch.Tensor, "as_subclass")


@contextmanager
def without_modes() -> Iterator[None]:
    """Inside the block, have no modes on functions and operators."""
    taken = []
    while torch._C._len_torch_function_stack():
        taken.append(torch._C._pop_torch_function_stack())
    try:
        with _python_dispatch._disable_current_modes():
            yield
    finally:
        for mode in reversed(taken):
            torch._C._push_on_torch_function_stack(mode)
