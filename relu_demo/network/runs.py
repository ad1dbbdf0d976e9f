"""Real runs of the network: chosen calls in place, the others out of place, then backward; and what differs."""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from relu_demo.network.state.contents import leaves, tensors
from relu_demo.network.state.copies import copy_inputs
from relu_demo.network.state.holders import attribute_tensors
from relu_demo.network.state.snapshot import Snapshot
from relu_demo.network.switch import Switch, Switched
from relu_demo.tensors.graph import graph
from relu_demo.tensors.storage import dense, key_of


@dataclass
class Outcome:
    """What one run gave. Its tensors are detached: the graph is gone."""

    forward_error: BaseException | None = None
    result: list[tuple[str, Any]] = field(default_factory=list)
    state: dict[int, Tensor] = field(default_factory=dict)
    """Parameters, buffers and other tensors of the network that the forward may have written to."""
    kept: list[tuple[str, Any]] = field(default_factory=list)
    """Tensors left in plain attributes of modules, and in buffers that were assigned anew."""
    backward: bool | None = None
    """Did it run? None: nothing requires grad."""
    backward_error: BaseException | None = None
    gradients: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Of each parameter and input: the sum of its gradient and of its absolute values (gradients are large)."""
    precision: float = 0.0
    """Of the coarsest dtype among them, relative."""
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

    def inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A fresh copy of the caller's arguments."""
        copied: tuple[tuple[Any, ...], dict[str, Any]] = copy_inputs(self._arguments, self.kept.own, self.kept.holds)
        return copied

    def forward(self, inputs: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
        """Call the network. Frames beyond this one are not the network's (see `place.Places`)."""
        self.forwards += 1
        try:
            return self.network(*inputs[0], **inputs[1])
        finally:
            self.kept.restore_modes()

    def run(
        self,
        in_place: Callable[[int, Switched], bool],
        backward: bool = True,
        count_stale: bool = False,
        measure_damage: bool = False,
        on_copy: bool = False,
    ) -> Outcome:
        """One real run: the calls that `in_place` chooses in place (or so on a copy), the others out of place."""
        outcome = Outcome()
        damaged: list[tuple[Tensor, Tensor]] = []

        def decide(index: int, call: Switched) -> Any:
            chosen = in_place(index, call)
            if chosen and on_copy:
                return call.run_on_copy()
            if chosen:
                self.kept.before_write(key_of(call.input))
                if measure_damage:
                    damaged[:] = [(call.input.detach(), call.input.detach().clone())]
            return call.run(chosen)

        stale = _StaleCount()
        hooks = saved_tensors_hooks(stale.pack, stale.unpack) if count_stale else nullcontext()
        try:
            inputs = self.inputs()
            with uncompiled(), hooks, Switch(decide):
                try:
                    result = self.forward(inputs)
                except Exception as error:
                    outcome.forward_error = _without_frames(error)
                    return outcome
                outcome.result = [(path, _detached(leaf)) for path, leaf in leaves(result)]
                outcome.state = {i: tensor.detach().clone() for i, tensor in self.kept.overwritten().items()}
                left = attribute_tensors(self.network)
                anew = ((name, b) for name, b in self.network.named_buffers() if not self.kept.holds(key_of(b)))
                left |= dict(anew)
                outcome.kept = [(name, tensor.detach().clone()) for name, tensor in left.items()]
                outcome.damage = max((_difference(now, before) for now, before in damaged), default=0.0)
                if backward:
                    self._backward(result, outcome, list(tensors(inputs)))
            outcome.stale = stale.count
            return outcome
        finally:
            self.kept.restore()

    def compare(self, a: Outcome, b: Outcome) -> Difference:
        """Result, and what the network keeps for its next forward."""
        now = self.kept.overwritten()
        # What was not copied when a run began, that run has not written to: it is as it is now.
        states = [[(str(i), run.state.get(i, now[i])) for i in now] for run in (a, b)]
        return compare(a.result + a.kept + states[0], b.result + b.kept + states[1])

    def _backward(self, result: Any, outcome: Outcome, inputs: list[Tensor]) -> None:
        outputs = [tensor for tensor in tensors(result) if tensor.requires_grad]
        if not outputs:
            return
        self.backwards += 1
        try:
            grads = gradients(outputs, self.network)
        except Exception as error:
            outcome.backward, outcome.backward_error = False, _without_frames(error)
            return
        outcome.backward = True
        order = {id(tensor): i for i, tensor in enumerate([*self.kept.parameters, *inputs])}
        for leaf, grad in grads:
            if grad is not None and id(leaf) in order and grad.device.type != "meta":
                outcome.gradients[order[id(leaf)]] = _digest(grad)
                outcome.precision = max(outcome.precision, torch.finfo(grad.dtype).eps)


def gradients(outputs: list[Tensor], network: nn.Module) -> list[tuple[Tensor, Tensor | None]]:
    """Each leaf that the outputs depend on, with its gradient from a real backward. `.grad` is put back."""
    # The network's own too: a checkpoint (reentrant) hides leaves from the graph.
    found = list({id(leaf): leaf for leaf in (*_leaves_of(outputs), *network.parameters())}.values())
    losses = [_loss(output) for output in outputs]
    if any(getattr(leaf, "_post_accumulate_grad_hooks", None) for leaf in found):
        # Such a hook may be an optimizer's step; `grad` does not call it.
        given = [leaf for leaf in found if leaf.requires_grad]
        return list(zip(given, torch.autograd.grad(losses, given, allow_unused=True), strict=True))
    before = [leaf.grad for leaf in found]
    try:
        for leaf in found:
            leaf.grad = None
        torch.autograd.backward(losses)
        return [(leaf, leaf.grad) for leaf in found]
    finally:
        for leaf, grad in zip(found, before, strict=True):
            leaf.grad = grad


def _loss(output: Tensor) -> Tensor:
    # Uneven, so that what sums to nothing (a softmax) has a gradient too; and no random number is drawn.
    full = dense(output)
    real = torch.view_as_real(full) if full.is_complex() else full
    ramp = torch.arange(real.numel(), device=real.device, dtype=torch.float32)
    return (real * torch.cos(ramp).reshape(real.shape).to(real.dtype)).sum()


def _digest(grad: Tensor) -> tuple[float, float]:
    full = dense(grad)
    wide = (torch.view_as_real(full) if full.is_complex() else full).double()
    return float(wide.sum()), float(wide.abs().sum())


def _leaves_of(outputs: list[Tensor]) -> Iterator[Tensor]:
    yield from (output for output in outputs if output.grad_fn is None)
    yield from (node.variable for node in graph(outputs) if hasattr(node, "variable"))


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
    # Nothing has been compiled where torch._dynamo has not been imported; importing it takes a second, and 70 MB.
    if "torch._dynamo" in sys.modules and hasattr(compiler, "set_stance"):
        with compiler.set_stance("force_eager"):  # type: ignore[union-attr]
            yield
    else:
        yield


@dataclass(frozen=True)
class Difference:
    """How far apart two results are."""

    largest: float | None
    """Largest absolute difference; infinity if shapes, kinds or NaNs differ; None if there are no values (meta)."""
    beyond_rounding: bool
    """More than 100 roundings of a float32 of its tensor's largest value? A measure for noise, and not of faults."""


def compare(a: list[tuple[str, Any]], b: list[tuple[str, Any]]) -> Difference:
    """The difference of two results, leaf by leaf."""
    if [path for path, _ in a] != [path for path, _ in b]:
        return Difference(math.inf, True)
    if any(isinstance(leaf, Tensor) and leaf.device.type == "meta" for _, leaf in (*a, *b)):
        return Difference(None, False)
    largest, beyond = 0.0, False
    for (_, x), (_, y) in zip(a, b, strict=True):
        difference = _difference(x, y)
        largest = max(largest, difference)
        beyond = beyond or difference > _rounding(x)
    return Difference(largest, beyond)


def _rounding(value: Any) -> float:
    eps = torch.finfo(torch.float32).eps
    if isinstance(value, float):
        return 100 * eps * abs(value)
    if not isinstance(value, Tensor) or not (value.is_floating_point() or value.is_complex()) or not value.numel():
        return 0.0
    sizes = dense(value).abs()
    finite = sizes[torch.isfinite(sizes)]
    return 100 * max(eps, torch.finfo(value.dtype).eps) * (float(finite.max()) if finite.numel() else 0.0)


def _difference(a: Any, b: Any) -> float:
    """Largest absolute difference of two leaves; two NaNs are the same."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _tensor_difference(a, b)
    if type(a) is not type(b):
        return math.inf
    if a == b or (a != a and b != b):
        return 0.0
    apart = float(abs(a - b)) if isinstance(a, (int, float, complex)) else math.inf
    return math.inf if math.isnan(apart) else apart


def _tensor_difference(a: Tensor, b: Tensor) -> float:
    if a.dtype != b.dtype or a.layout != b.layout or a.is_nested != b.is_nested:
        return math.inf
    a, b = dense(a), dense(b)
    if a.shape != b.shape:
        return math.inf
    if a.device.type == "meta":
        return 0.0
    other = (a != b) & ~((a != a) & (b != b))
    if not bool(other.any()):
        return 0.0
    wide = torch.complex128 if a.is_complex() else torch.float64
    difference = (a[other].to("cpu").to(wide) - b[other].to("cpu").to(wide)).abs().max()
    return math.inf if bool(torch.isnan(difference)) else float(difference)


SUMMED_OTHERWISE = 16.0
"""Roundings. On random networks the order of summation has made at most one, and a fault never less than 10,000."""


def gradient_gap(a: Outcome, b: Outcome) -> float:
    """
    How far the gradients of two runs are apart, in roundings of the largest; 0 where a backward is missing.

    Up to `SUMMED_OTHERWISE` it is the order in which autograd adds the gradients up, which a view in place changes.
    """
    if not a.backward or not b.backward:
        return 0.0
    none = (0.0, 0.0)
    both = [(a.gradients.get(i, none), b.gradients.get(i, none)) for i in {*a.gradients, *b.gradients}]
    gap = max((_difference(p, q) for x, y in both for p, q in zip(x, y, strict=True)), default=0.0)
    largest = max((size for x, y in both for size in (x[1], y[1]) if math.isfinite(size)), default=0.0)
    rounding = max(a.precision, b.precision) * largest
    return gap / rounding if rounding else math.inf if gap else 0.0


def _detached(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf


def _without_frames(error: BaseException) -> BaseException:
    # The traceback's frames would keep every activation alive.
    traceback.clear_frames(error.__traceback__)
    return error.with_traceback(None)
