"""Real runs of the network: chosen calls in place, the others out of place, then backward; and what differs."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from relu_demo.network.snapshot import Snapshot, attribute_tensors, copy_inputs
from relu_demo.network.storage import key_of
from relu_demo.network.switch import Switch, Switched
from relu_demo.network.tree import leaves, tensors


@dataclass
class Outcome:
    """What one run gave. Its tensors are detached: the graph is gone."""

    forward_error: BaseException | None = None
    result: list[tuple[str, Any]] = field(default_factory=list)
    state: list[tuple[str, Any]] = field(default_factory=list)
    backward: bool | None = None
    """Did it run? None: nothing requires grad."""
    backward_error: BaseException | None = None
    gradients: list[tuple[float, float]] = field(default_factory=list)
    """Of each leaf: the sum of its gradient and of its absolute values (a digest: gradients are large)."""
    precision: float = 0.0
    stale: int = 0
    """Saved tensors that backward unpacked after they had been written to (counted only where asked)."""
    damage: float = 0.0
    """Largest change of the input of the last call run in place, from before that call to after the forward."""


class Runner:
    """Runs one network on one input, from the same state and the same random numbers every time."""

    def __init__(self, network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], kept: Snapshot) -> None:
        self.network = network
        self.kept = kept
        self._arguments = (args, kwargs)
        self.forwards = 0
        self.backwards = 0
        self.called_in_backward = False

    def inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A fresh copy of the caller's arguments."""
        copied: tuple[tuple[Any, ...], dict[str, Any]] = copy_inputs(self._arguments, self.kept)
        return copied

    def forward(self, inputs: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
        """Call the network. Frames beyond this one are not the network's (see `place.Places`)."""
        self.forwards += 1
        return self.network(*inputs[0], **inputs[1])

    def run(
        self,
        in_place: Callable[[int, Switched], bool],
        backward: bool = True,
        count_stale: bool = False,
        measure_damage: bool = False,
    ) -> Outcome:
        """One real run: the calls that `in_place` chooses in place, the others out of place."""
        outcome = Outcome()
        damaged: list[tuple[Tensor, Tensor]] = []

        def decide(index: int, call: Switched) -> Any:
            chosen = in_place(index, call)
            if chosen:
                self.kept.before_write(key_of(call.input))
                if measure_damage:
                    damaged[:] = [(call.input.detach(), call.input.detach().clone())]
            return call.run(chosen)

        stale = _StaleCount()
        hooks = saved_tensors_hooks(stale.pack, stale.unpack) if count_stale else nullcontext()
        switch = Switch(decide)
        try:
            inputs = self.inputs()
            with uncompiled(), hooks, switch:
                try:
                    result = self.forward(inputs)
                except Exception as error:
                    outcome.forward_error = _without_frames(error)
                    return outcome
                outcome.result = [(path, _detached(leaf)) for path, leaf in leaves(result)]
                outcome.state = self._state()
                outcome.damage = max((_difference(now, before) for now, before in damaged), default=0.0)
                calls = switch.count
                if backward:
                    self._backward(result, outcome)
                self.called_in_backward |= switch.count > calls
            outcome.stale = stale.count
            return outcome
        finally:
            self.kept.restore()

    def _state(self) -> list[tuple[str, Any]]:
        kept = {**self.kept.written(), **attribute_tensors(self.network)}
        return [(name, tensor.detach().clone()) for name, tensor in kept.items()]

    def _backward(self, result: Any, outcome: Outcome) -> None:
        outputs = {id(t): t for t in tensors(result) if t.requires_grad}
        if not outputs:
            return
        self.backwards += 1
        try:
            grads = gradients(list(outputs.values()))
        except Exception as error:
            outcome.backward, outcome.backward_error = False, _without_frames(error)
            return
        outcome.backward = True
        for grad in grads:
            if grad is not None and grad.device.type != "meta" and not grad.is_sparse:
                outcome.gradients.append((float(grad.double().sum()), float(grad.double().abs().sum())))
                outcome.precision = max(outcome.precision, torch.finfo(grad.dtype).eps ** 0.5)


def gradients(outputs: list[Tensor]) -> tuple[Tensor | None, ...]:
    """The gradients of all leaves that the outputs depend on. `.grad` is left alone."""
    found = list(_leaves_of(outputs))
    seeds = [_seed(output) for output in outputs]
    return torch.autograd.grad(outputs, found, seeds, allow_unused=True) if found else ()


def _seed(output: Tensor) -> Tensor:
    # Uneven, so that what sums to nothing (a softmax) has a gradient too; and no random number is drawn.
    ramp = torch.arange(output.numel(), device=output.device, dtype=torch.float32)
    return torch.cos(ramp).reshape(output.shape).to(output.dtype)


def _leaves_of(outputs: list[Tensor]) -> Iterator[Tensor]:
    waiting: list[Any] = []
    seen: set[Any] = set()
    for output in outputs:
        if output.grad_fn is None:
            yield output
        else:
            waiting.append(output.grad_fn)
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting.extend(following for following, _ in node.next_functions)


class _StaleCount:
    """Hooks that count stale saved tensors. Hooks take PyTorch's own check away, so backward runs to its end."""

    def __init__(self) -> None:
        self.count = 0

    def pack(self, tensor: Tensor) -> tuple[Tensor, int]:
        return tensor, -1 if tensor.is_inference() else tensor._version

    def unpack(self, packed: tuple[Tensor, int]) -> Tensor:
        tensor, version = packed
        self.count += version >= 0 and tensor._version != version
        return tensor


@contextmanager
def uncompiled() -> Iterator[None]:
    """While it lasts, what torch.compile made runs as the plain code it was made from (PyTorch 2.6 and later)."""
    compiler = getattr(torch, "compiler", None)
    if hasattr(compiler, "set_stance"):
        with compiler.set_stance("force_eager"):  # type: ignore[union-attr]
            yield
    else:
        yield


def compare(a: list[tuple[str, Any]], b: list[tuple[str, Any]]) -> float | None:
    """Largest absolute difference of two results; infinity if they are not of one kind; None without values."""
    if [path for path, _ in a] != [path for path, _ in b]:
        return math.inf
    if any(isinstance(leaf, Tensor) and leaf.device.type == "meta" for _, leaf in (*a, *b)):
        return None
    return max((_difference(x, y) for (_, x), (_, y) in zip(a, b)), default=0.0)


def _difference(a: Any, b: Any) -> float:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _tensor_difference(a, b)
    if type(a) is not type(b):
        return math.inf
    if a == b or (a != a and b != b):
        return 0.0
    return float(abs(a - b)) if isinstance(a, (int, float, complex)) else math.inf


def _tensor_difference(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape or a.dtype != b.dtype or a.layout != b.layout:
        return math.inf
    if a.is_sparse:
        a, b = a.to_dense(), b.to_dense()
    if a.device.type == "meta":
        return 0.0
    other = (a != b) & ~((a != a) & (b != b))
    if not bool(other.any()):
        return 0.0
    wide = torch.complex128 if a.is_complex() else torch.float64
    difference = (a[other].to("cpu").to(wide) - b[other].to("cpu").to(wide)).abs().max()
    return math.inf if bool(torch.isnan(difference)) else float(difference)


def gradients_differ(a: Outcome, b: Outcome) -> bool:
    """Beyond the rounding of an in-place backward that works from the result (elu), not from the input?"""
    if not a.backward or not b.backward:
        return False
    if len(a.gradients) != len(b.gradients):
        return True
    largest = max((size for _, size in (*a.gradients, *b.gradients) if math.isfinite(size)), default=0.0)
    tolerance = 10 * max(a.precision, b.precision) * largest
    pairs = [(x, y) for g, h in zip(a.gradients, b.gradients) for x, y in zip(g, h)]
    return any(abs(x - y) > tolerance for x, y in pairs if math.isfinite(x) or math.isfinite(y))


def first_line(error: BaseException) -> str:
    """The error's own words, first line, without the pointer into C++."""
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


def _detached(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf


def _without_frames(error: BaseException) -> BaseException:
    # The traceback's frames would keep every activation alive.
    traceback.clear_frames(error.__traceback__)
    return error.with_traceback(None)
