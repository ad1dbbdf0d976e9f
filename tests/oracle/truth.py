"""The brute-force truth: everything out of place, then one real run for each call put in place alone.

The calls are those with an `inplace` argument, and each write of `METHODS` and `AUGMENTED`. Those that are on and whose
result nothing uses, in no round of a loop, are meant, as are writes to what the network holds: they are in place in
every run.

Written without the engine: it puts its own functions in the place of torch.nn.functional's, makes the network anew
from its seed for every run, runs forward and backward, and looks at what is left afterwards.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from oracle.generator import outside

Make = Callable[[], tuple[nn.Module, list[Tensor]]]
ROUNDED, SAME_INPUT = "rounded", "the input has the same values"
NAMES = [name for name, f in vars(F).items() if inspect.isfunction(f) and "inplace" in inspect.signature(f).parameters]
AUGMENTED = {
    "__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_",
    "__ifloordiv__": "floor_divide_", "__ipow__": "pow_",
}  # fmt: skip
METHODS = (
    "add_", "sub_", "mul_", "div_", "relu_", "sigmoid_", "tanh_", "exp_", "sqrt_", "abs_", "neg_", "pow_", "clamp_",
    "clamp_min_", "clamp_max_", "masked_fill_", "scatter_", "scatter_add_",
    "scatter_reduce_", "index_reduce_", "index_add_", "index_copy_", "index_fill_",
    "floor_divide_", "remainder_", "lerp_", "addcmul_", "addcdiv_", "log_", "rsqrt_", "sin_", "cos_", "round_",
)  # fmt: skip
TORCH = str(Path(torch.__file__).parent) + os.sep
"""The folder of PyTorch, with what ends it: torchvision is another."""
PYTHON = str(Path(os.__file__).parent) + os.sep


@dataclass
class Run:
    """What one run left behind."""

    refused: str | None = None
    result: list[Any] = field(default_factory=list)
    outside: list[Any] = field(default_factory=list)
    """What hooks have read, and what they keep, as it is after the forward."""
    kept_inputs: list[bool] = field(default_factory=list)
    """Which of that is the caller's own tensor, whose overwriting is an effect of its own."""
    backward: str | None = None
    """None: it ran, or there was nothing to run."""
    recorded: bool = False
    """Whether there was anything to run."""
    gradients: list[Tensor | None] = field(default_factory=list)
    overwrote_input: bool = False
    changed_input: bool = False
    """Whether such a call changed a value of it."""
    written: list[bool] = field(default_factory=list)
    """For each call, the switch as written."""
    stale: int = 0
    used: set[int] = field(default_factory=set)
    """The calls whose result something used, and that do not write to what the network holds."""
    lines: list[tuple[CodeType, int] | None] = field(default_factory=list)
    """For each call the instruction of the network's code that makes it."""


@dataclass
class Truth:
    """For each call its effects alone in place; and the network as written."""

    written: list[bool]
    effects: list[set[str]]
    base: Run
    as_written: Run
    as_written_differs: bool
    as_written_gradients_differ: bool
    rounded: list[bool]
    """For each call: in place, its kernel rounds otherwise, and nothing more has changed."""
    same_input: frozenset[int]
    """The calls that overwrite an input with the values that it has."""
    meant: frozenset[int]
    """The calls that are on and whose result nothing uses, in no round of a loop."""


def truth(make: Make) -> Truth:
    """Brute force: two runs and one more for each call. Raises what the network raises with everything out of place."""
    first = _run(make, lambda k, written: False, uses=True)
    if first.refused is not None:
        raise RuntimeError(first.refused)
    lines = {first.lines[k] for k in first.used}
    meant = frozenset(
        k for k, on in enumerate(first.written) if on and k not in first.used and first.lines[k] not in lines
    )
    if meant:
        make = Meant(make, meant)
    base = _run(make, lambda k, written: False)
    if base.refused is not None:
        raise RuntimeError(base.refused)
    stale = _run(make, lambda k, written: False, count=True).stale if base.backward else 0
    effects = [_effects(make, k, base, stale) for k in range(len(base.written))]
    same = frozenset(k for k, kinds in enumerate(effects) if SAME_INPUT in kinds)
    as_written = _run(make, lambda k, written: written)
    differs = gradients_differ = False
    if as_written.refused is None:
        copies = _run(make, lambda k, written: written, on_copy=True)
        differs = _differ(base.result, as_written.result) and _differ(copies.result, as_written.result)
        gradients_differ = not differs and _gradients_wrong(base, copies, as_written)
    found = [kinds - {ROUNDED, SAME_INPUT} for kinds in effects]
    rounded = [ROUNDED in kinds for kinds in effects]
    return Truth(base.written, found, base, as_written, differs, gradients_differ, rounded, same, meant)


@dataclass(frozen=True)
class Meant:
    """Makes a network whose calls with these indices are in place in every run."""

    make: Make
    indices: frozenset[int]

    def __call__(self) -> tuple[nn.Module, list[Tensor]]:
        return self.make()


class Uses(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which of the results that it is given are an argument of an operator later."""

    def __init__(self, run: Run) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run = run
        self.results: list[tuple[int, Tensor]] = []

    def made(self, k: int, given: Tensor, result: Tensor) -> None:
        """Note the result of a call; that of one that writes nothing counts as used."""
        if given.numel() and _address(result) != _address(given):
            self.results.append((k, result))
        else:
            self.run.used.add(k)

    def note(self, value: Any) -> None:
        """The calls whose result shares memory with a tensor in the value are used."""
        for tensor in leaves_of(value):
            if isinstance(tensor, Tensor):
                address = _address(tensor)
                self.run.used |= {k for k, r in self.results if _address(r) == address}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.note([*args, *(kwargs or {}).values()])
        return func(*args, **(kwargs or {}))


def apart(make: Make, on: frozenset[int], real: Truth) -> list[str]:
    """How a run with these calls in place is not as everything out of place."""
    base = real.base
    make = Meant(make, real.meant) if real.meant else make
    run = _run(make, lambda k, written: k in on)
    if run.refused is not None:
        return [f"refused: {run.refused}"]
    if run.backward and not base.backward:
        return [f"backward: {run.backward}"]
    copies = _run(make, lambda k, written: k in on, on_copy=True)
    differs = all(_differ(_seen(each, base), _seen(run, base)) for each in (base, copies))
    found = ["result"] if differs else []
    return found + ["gradients"] * _gradients_wrong(base, copies, run) + ["overwritten input"] * run.overwrote_input


def _effects(make: Make, chosen: int, base: Run, stale: int) -> set[str]:
    run = _run(make, lambda k, written: k == chosen)
    if run.refused is not None:
        return {"refused"}
    found = set()
    # Where backward raises with everything out of place, only the run on a copy has gradients.
    lone = base.backward is not None and run.backward is None
    if _differ(*(_seen(each, base) for each in (base, run))) or _gradients_differ(base, run) or lone:
        # In place is another kernel; in place on a copy is the same, and touches nobody's memory.
        copy = _run(make, lambda k, written: k == chosen, on_copy=True)
        wrong = _differ(_seen(copy, base), _seen(run, base)) or _gradients_differ(copy, run)
        found |= {"changes-result"} if wrong else set() if lone else {ROUNDED}
    if base.backward:
        if _run(make, lambda k, written: k == chosen, count=True).stale > stale:
            found.add("breaks-backward")
    elif run.backward:
        found.add("breaks-backward")
    if run.overwrote_input:
        found.add("overwrites-input")
        found |= set() if run.changed_input else {SAME_INPUT}
    return found


def _run(
    make: Make, in_place: Callable[[int, bool], bool], count: bool = False, on_copy: bool = False, uses: bool = False
) -> Run:
    network, inputs = make()
    leaves = [*network.parameters(), *inputs]
    run = Run()
    stale = [0]

    def unpack(packed: tuple[Tensor, int]) -> Tensor:
        stale[0] += packed[0]._version != packed[1]
        return packed[0]

    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: (t, t._version), unpack) if count else nullcontext()
    watching = Uses(run) if uses else None
    always = make.indices if isinstance(make, Meant) else frozenset()
    switching = Switching(run, in_place, inputs, on_copy, always, watching)
    with _patched(switching), _rebinding(switching, network), hooks:
        torch.manual_seed(1)
        try:
            with watching or nullcontext():
                result = network(*inputs)
        except Exception as error:
            run.refused = str(error)
            return run
        if watching is not None:
            watching.note([result, getattr(network, "last", None)])
        flat = list(leaves_of(result))
        state = [*network.buffers(), *network.parameters(), *leaves_of(getattr(network, "last", None))]
        run.result = [t.detach().clone() if isinstance(t, Tensor) else t for t in flat + state]
        given = {_address(t) for t in inputs}
        run.kept_inputs = [_address(t) in given for t in outside(network)]
        run.outside = [t.detach().clone() for t in outside(network)]
        try:
            left = [
                t for t in leaves_of(getattr(network, "last", None)) if isinstance(t, Tensor) and t.grad_fn is not None
            ]
            loss = [t for t in [*flat, *left] if isinstance(t, Tensor) and t.requires_grad]
            loss = list({id(t): t for t in loss}.values())
            run.recorded = bool(loss)
            if loss:
                loss = [dense(t) for t in loss]
                parts = [(t.double() * torch.arange(t.numel()).cos().reshape(t.shape)).sum() for t in loss]
                torch.stack(parts).sum().backward()  # type: ignore[no-untyped-call]
        except Exception as error:
            run.backward = str(error)
    run.gradients = [p.grad if p.is_leaf else None for p in leaves]
    run.stale = stale[0]
    return run


@dataclass(frozen=True)
class Switching:
    """Numbers the calls of one run, and runs each in place, out of place or on a copy."""

    run: Run
    in_place: Callable[[int, bool], bool]
    inputs: list[Tensor]
    on_copy: bool
    always: frozenset[int]
    watching: Uses | None

    def __call__(
        self, x: Tensor, written: bool, call: Callable[[Tensor, bool], Any], off: bool | None = None, own: bool = False
    ) -> Any:
        """Run one call; `call` does, on a tensor, in place or not.

        `off`: whether it is a dropout that is off; None for a write without a switch. `own`: whether it writes to what
        the network holds.
        """
        run, k = self.run, len(self.run.written)
        run.written.append(written)
        run.lines.append(_line())
        if k in self.always or own:
            return call(x, True)
        if not self.in_place(k, written) or self.on_copy:
            copies = not off if self.in_place(k, written) else off is None
            result = call(_copied(x), True) if copies else call(x, False)
            if self.watching is not None:
                self.watching.made(k, x, result)
            return result
        if off or not x.numel() or not _reaches(x, self.inputs):
            return call(x, True)
        run.overwrote_input = True
        before = x.detach().clone()
        result = call(x, True)
        run.changed_input |= not same(x.detach(), before)
        return result


@contextmanager
def _patched(switching: Switching) -> Iterator[None]:
    originals = {name: getattr(F, name) for name in NAMES}

    def replacement(original: Any) -> Any:
        signature = inspect.signature(original)

        def call(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = dict(bound.arguments)
            if switching.watching is not None:
                switching.watching.note(given["input"])  # dropout with p=0 runs no operator
            off = not given["input"].numel() or ("p" in given and (given["p"] == 0 or not given["training"]))
            run = lambda x, inplace: original(**{**given, "input": x, "inplace": inplace})  # noqa: E731
            return switching(given["input"], given["inplace"], run, off)

        return call

    try:
        for name, original in originals.items():
            setattr(F, name, replacement(original))
        yield
    finally:
        for name, original in originals.items():
            setattr(F, name, original)


@contextmanager
def _rebinding(switching: Switching, network: nn.Module) -> Iterator[None]:
    """Inside the block each write with a result that its line goes on with is a call, too."""
    held = [*network.parameters(), *network.buffers(), *leaves_of(getattr(network, "last", None))]
    own = {_address(t) for t in held if isinstance(t, Tensor) and t.numel()}

    def method(function: Callable[..., Tensor]) -> Callable[..., Any]:
        def write(x: Tensor, *args: Any, **kwargs: Any) -> Any:
            caller = sys._getframe(1)
            if not _goes_on(caller.f_code, caller.f_lasti) and not _is_of_a_list(caller):
                return function(x, *args, **kwargs)
            # What is meant is settled once, with everything out of place.
            is_own = switching.watching is not None and _address(x) in own
            return switching(x, True, lambda tensor, _: function(tensor, *args, **kwargs), own=is_own)

        return write

    functions = {name: getattr(Tensor, AUGMENTED.get(name, name)) for name in (*AUGMENTED, *METHODS)}
    own_ones = {name: vars(Tensor)[name] for name in functions if name in vars(Tensor)}  # the others are inherited
    for name, function in functions.items():
        setattr(Tensor, name, method(function))
    try:
        yield
    finally:
        for name in functions:
            if name in own_ones:
                setattr(Tensor, name, own_ones[name])
            else:
                delattr(Tensor, name)


def _is_of_a_list(frame: FrameType) -> bool:
    """Whether the running line is `state[i] += y` of a list or a dictionary, and binds the item anew."""
    try:
        (statement,) = ast.parse(linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()).body
    except (SyntaxError, ValueError):
        return False
    if not isinstance(statement, ast.AugAssign) or not isinstance(statement.target, ast.Subscript):
        return False
    container = ast.unparse(statement.target.value)
    return isinstance(eval(container, frame.f_globals, frame.f_locals), (list, dict))


def _line() -> tuple[CodeType, int] | None:
    """Return the innermost instruction that is neither PyTorch's, nor Python's, nor of this file."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (
        frame.f_code.co_filename.startswith((TORCH, __file__, "<frozen"))
        or (frame.f_code.co_filename.startswith(PYTHON) and "site-packages" not in frame.f_code.co_filename)
    ):
        frame = frame.f_back
    return None if frame is None else (frame.f_code, frame.f_lasti)


@cache
def _goes_on(code: CodeType, instruction: int) -> bool:
    """Whether a line of the network goes on with the result of an instruction: no statement, no `x[i] += y`.

    The next in-place method of a chain hands the result on: of `x.mul_(2).add_(1)` as a statement nothing goes on.
    """
    if code.co_filename.startswith(TORCH):
        return False
    after = [each for each in dis.get_instructions(code) if each.offset > instruction]
    at = 0
    while True:
        while after[at].opname in ("SWAP", "CACHE") or after[at].opname.startswith("ROT_"):
            at += 1
        if after[at].opname in ("POP_TOP", "STORE_SUBSCR"):
            return False
        if after[at].opname not in ("LOAD_METHOD", "LOAD_ATTR") or not str(after[at].argval).endswith("_"):
            return True
        depth = 1  # of the stack, with the result on it; it is that again when the method has returned
        while True:
            depth += dis.stack_effect(after[at].opcode, after[at].arg)
            at += 1
            if depth == 1 and after[at - 1].opname.startswith("CALL"):
                break


def _copied(tensor: Tensor) -> Tensor:
    if tensor.layout != torch.strided:
        return tensor.clone()
    expanded = any(stride == 0 and size > 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    if expanded or not tensor.numel():
        return tensor.clone()
    offset, same = tensor.storage_offset(), tensor.clone()
    if not offset and same.stride() == tensor.stride():
        return same
    length = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.new_empty(offset + length).as_strided(tensor.shape, tensor.stride(), offset).detach().copy_(tensor)


def _reaches(written: Tensor, inputs: list[Tensor]) -> bool:
    mine = _bytes(written)
    return any(mine & _bytes(tensor) for tensor in inputs)


def _strided(tensor: Tensor) -> Tensor:
    """The tensor, or that in which a sparse one has its elements."""
    if tensor.layout == torch.strided:
        return tensor
    return tensor._values() if tensor.layout == torch.sparse_coo else tensor.values()


def dense(tensor: Tensor) -> Tensor:
    """The tensor with a strided layout."""
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def _address(tensor: Tensor) -> int:
    tensor = _strided(tensor)
    # Before PyTorch 2.0 there is no untyped_storage.
    storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()  # type: ignore[no-untyped-call]
    return int(storage.data_ptr())


def _bytes(tensor: Tensor) -> set[int]:
    tensor = _strided(tensor)
    index = torch.zeros(tensor.shape, dtype=torch.int64)
    for dim, stride in enumerate(tensor.stride()):
        steps = torch.arange(tensor.shape[dim]) * stride
        index = index + steps.reshape([-1 if d == dim else 1 for d in range(tensor.dim())])
    return set((index.reshape(-1) * tensor.element_size() + tensor.data_ptr()).tolist())


def leaves_of(value: Any) -> Iterator[Any]:
    """Yield what is in containers and in plain objects, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        for item in value:
            yield from leaves_of(item)
    elif _is_plain(value):
        yield type(value).__name__  # a cache of keys and values, say: two runs make two that are not equal
        yield from leaves_of(vars(value))
    else:
        yield value


def _is_plain(value: Any) -> bool:
    """Whether a value is an object that compares by identity, and is what its attributes are."""
    compares = any("__eq__" in vars(kind) for kind in type(value).__mro__[:-1])
    return hasattr(value, "__dict__") and not compares and not callable(value)


def _seen(run: Run, base: Run) -> list[Any]:
    """The result, and what is seen of it outside, but for what is the caller's with everything out of place."""
    return run.result + [t for t, given in zip(run.outside, base.kept_inputs, strict=True) if not given]


def _differ(a: list[Any], b: list[Any]) -> bool:
    return len(a) != len(b) or any(not same(x, y) for x, y in zip(a, b, strict=True))


def _gradients_differ(a: Run, b: Run) -> bool:
    """Whether any element does by more than the order in which autograd adds them up can make."""
    if a.backward or b.backward:
        return False
    both = [
        [torch.zeros(1) if t is None else dense(t) for t in pair] for pair in zip(a.gradients, b.gradients, strict=True)
    ]
    apart = [(x - y).abs() for x, y in both if not same(x, y)]
    if not apart:
        return False
    largest = max((float(t.abs().nan_to_num().max()) for pair in both for t in pair if t.numel()), default=0.0)
    return any(not bool((gap.nan_to_num(torch.inf) <= 4e-6 * largest).all()) for gap in apart)


def _gradients_wrong(base: Run, copies: Run, run: Run) -> bool:
    """Whether the gradients of a run are other ones than on copies, and than everything out of place.

    A layer may return a view of its own memory out of place, and none on a copy: a later write through that view drops
    the hooks on it. What is as out of place is right.
    """
    return _gradients_differ(copies, run) and (base.backward is not None or _gradients_differ(base, run))


def same(x: Any, y: Any) -> bool:
    """Whether two leaves are one value: a tensor bit for bit, but for the kind of a NaN."""
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        return x is y or bool(not isinstance(x, Tensor) and not isinstance(y, Tensor) and x == y)
    x, y = dense(x), dense(y)
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    return torch.equal(x, y) or bool(((x == y) | ((x != x) & (y != y))).all())
