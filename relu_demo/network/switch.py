"""The calls that can run in place or out of place, and a mode that decides for each of them.

Those are the calls of operations that take `inplace=`, and the writes in place whose result is used: `x += y`,
`z = x.mul_(2)`, `return x.relu_()`. Out of place such a write is one to a copy of its tensor.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as every PyTorch user writes it
from torch import Tensor
from torch.overrides import TorchFunctionMode

from relu_demo.network.rebinding import rebinds
from relu_demo.tensors.storage import is_strided, same_bits

SWITCHED: dict[Any, inspect.Signature] = {
    function: inspect.signature(function)
    for function in vars(F).values()
    if inspect.isfunction(function) and "inplace" in inspect.signature(function).parameters
}
"""Every function of torch.nn.functional with an `inplace` argument, with its signature; modules call these."""

_BATCHED = {F.dropout1d: 3, F.dropout3d: 5}
_BELOW_ZERO = {F.leaky_relu: "negative_slope", F.elu: "alpha", F.celu: "alpha", F.rrelu: "lower"}

_ALIGNED_ELEMENTS = 64
"""So many of any dtype are a multiple of 64 bytes, to which the beginning of a storage is aligned."""

_WRITTEN = ("input", "self")
"""The names of the argument that a function in place writes to: `torch.clamp_(input=x, min=0)`."""


class Switched:
    """One call of such an operation, before it runs, and how it can be run."""

    def __init__(
        self, function: Any, tensor: Tensor, apply: Callable[[Tensor, bool], Any], switch: dict[str, Any] | None = None
    ) -> None:
        self.function = function
        self.input = tensor
        self._apply = apply
        """Calls it with a tensor, in place or not."""
        self._arguments = switch or {}
        self.takes_inplace = switch is not None
        """Whether it takes `inplace=`; else it is a write whose result is used."""
        self.inplace = bool(self._arguments.get("inplace", True))
        """The switch, as the source has it."""

    @property
    def writes_nothing(self) -> bool:
        """Return whether it writes to no memory, in place or not.

        A dropout that is off returns its input (ATen/native/Dropout.cpp); a tensor without elements has no memory.
        """
        is_off = "p" in self._arguments and (not self._arguments["training"] or self._arguments["p"] == 0)
        return is_off or not self.input.numel()

    @property
    def moves_version(self) -> bool:
        """Return whether the version counter moves though nothing is written: dropout1d adds a dimension in place."""
        return not self.input.numel() or self.input.dim() != _BATCHED.get(self.function, self.input.dim())

    @property
    def slope_below_zero(self) -> bool:
        """Return whether its slope is below zero, which the backward in place refuses (ATen/native/Activation.cpp)."""
        return bool(self._arguments.get(_BELOW_ZERO.get(self.function, ""), 0) < 0)

    def run(self, in_place: bool) -> Any:
        """Run it in place or out of place, whatever its own switch says, and return its result.

        An accelerator's dropout out of place is another kernel, which draws other random numbers. So it runs out of
        place as it does in place on a copy.
        """
        on_copy = self.function is F.dropout or not self.takes_inplace
        return self.run_on_copy() if on_copy and not in_place else self._apply(self.input, in_place)

    def run_on_copy(self) -> Any:
        """Run it in place on a copy of its input: out of place, by the kernels and with the roundings of in place.

        A dropout that is off runs out of place instead: it must return its input itself.
        """
        if self.takes_inplace and self.writes_nothing:
            return self._apply(self.input, False)
        return self._apply(copy_laid_out_the_same(self.input), True)

    def rounds_alike(self) -> bool:
        """Return whether it gives the same bits, laid out the same, both ways, tried on a copy; False if unknown."""
        if not self.takes_inplace:
            return True
        if "training" in self._arguments:  # a dropout, rrelu: the network would get other random numbers
            return False
        with torch.no_grad():
            try:
                a, b = self.run(False), self.run_on_copy()
                offsets = a.storage_offset(), b.storage_offset()
            except Exception:  # PyTorch refuses one of them
                return False
        alike = is_strided(a) and is_strided(b) and same_bits(a, b) and a.stride() == b.stride()
        return bool(alike and len({offset % _ALIGNED_ELEMENTS for offset in offsets}) == 1)


def switched(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Switched | None:
    """Return the call, if it can run in place or out of place; None for all others."""
    if function in SWITCHED:
        bound = SWITCHED[function].bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        run = lambda tensor, inplace: function(**{**given, "input": tensor, "inplace": inplace})  # noqa: E731
        return Switched(function, given["input"], run, given)
    rest = kwargs if args else {name: value for name, value in kwargs.items() if name not in _WRITTEN}
    written: Any = args[0] if args else next((kwargs[name] for name in _WRITTEN if name in kwargs), None)
    if not rebinds(function, written):
        return None
    return Switched(function, written, lambda tensor, _: function(tensor, *args[1:], **rest))


def copy_laid_out_the_same(tensor: Tensor) -> Tensor:
    """Return a copy with the same strides, for which each kernel rounds as for the tensor itself.

    It is no view: of a view that was made under `no_grad`, autograd refuses a later write.
    """
    if not is_strided(tensor) or 0 in (*tensor.shape, *tensor.stride()):
        return tensor.clone()
    # The same strides, and the same offset from an aligned address: the roundings of a matrix product depend on both.
    offset = tensor.storage_offset() % _ALIGNED_ELEMENTS
    if not offset and (same := tensor.clone()).stride() == tensor.stride():
        return same
    length = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    view = torch.as_strided(tensor.new_empty(offset + length), tensor.shape, tensor.stride(), offset)
    return view.detach().copy_(tensor)


class Switch(TorchFunctionMode):
    """Number the calls from 0 in order; `decide(index, call)` runs each and returns its result."""

    def __init__(self, decide: Callable[[int, Switched], Any]) -> None:
        super().__init__()
        self.decide = decide
        self.count = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        call = switched(func, args, kwargs)
        if call is None:
            return func(*args, **kwargs)
        self.count += 1
        return self.decide(self.count - 1, call)


@contextmanager
def in_each_backward(mode: TorchFunctionMode) -> Iterator[None]:
    """Inside the block, have a mode on while a backward runs: PyTorch takes all modes off where it is called."""
    engine: Any = torch.autograd
    run = engine._engine_run_backward

    def run_with_mode(*args: Any, **kwargs: Any) -> Any:
        with mode:
            return run(*args, **kwargs)

    engine._engine_run_backward = run_with_mode
    try:
        yield
    finally:
        engine._engine_run_backward = run
