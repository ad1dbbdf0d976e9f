"""The brute-force truth: everything out of place, then one real run for each call put in place alone.

Written without the engine: it puts its own functions in the place of torch.nn.functional's, makes the network anew
from its seed for every run, runs forward and backward, and looks at what is left afterwards.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

Make = Callable[[], tuple[nn.Module, list[Tensor]]]
NAMES = [name for name, f in vars(F).items() if inspect.isfunction(f) and "inplace" in inspect.signature(f).parameters]


@dataclass
class Run:
    """What one run left behind."""

    refused: str | None = None
    result: list[Any] = field(default_factory=list)
    backward: str | None = None
    """None: it ran, or there was nothing to run."""
    gradients: list[Tensor | None] = field(default_factory=list)
    overwrote_input: bool = False
    written: list[bool] = field(default_factory=list)
    """For each call, the switch as written."""
    nothing: list[bool] = field(default_factory=list)
    stale: int = 0


@dataclass
class Truth:
    """For each call its effects alone in place; and the network as written."""

    written: list[bool]
    nothing: list[bool]
    effects: list[set[str]]
    base: Run
    as_written: Run
    as_written_differs: bool
    as_written_gradients_differ: bool | None
    undecided: list[bool]
    """For each call: the result is the same, and its gradients differ by about as much as rounding does."""


def truth(make: Make) -> Truth:
    """Brute force: two runs and one more for each call. Raises what the network raises with everything out of place."""
    base = _run(make, lambda k, written: False)
    if base.refused is not None:
        raise RuntimeError(base.refused)
    stale = _run(make, lambda k, written: False, count=True).stale if base.backward else 0
    effects = [_effects(make, k, base, stale) for k in range(len(base.written))]
    as_written = _run(make, lambda k, written: written)
    differs = as_written.refused is None and _differ(base.result, as_written.result)
    runs = as_written.refused is None and not base.backward and not as_written.backward
    far = _far(base.gradients, as_written.gradients) if runs and not differs else False
    undecided = [None in found for found in effects]
    known = [{kind for kind in found if kind} for found in effects]
    return Truth(base.written, base.nothing, known, base, as_written, differs, far, undecided)


def apart(make: Make, on: frozenset[int], base: Run) -> tuple[list[str], bool]:
    """How a run with these calls in place is not `base`, everything out of place; and whether gradients could tell."""
    run = _run(make, lambda k, written: k in on)
    if run.refused is not None:
        return [f"refused: {run.refused}"], True
    found = ["result"] if _differ(base.result, run.result) else []
    if bool(base.backward) != bool(run.backward):
        return [*found, f"backward: {run.backward}"], True
    far = False if base.backward else _far(base.gradients, run.gradients)
    return found + ["gradients"] * (far is True) + ["overwritten input"] * run.overwrote_input, far is not None


def _effects(make: Make, chosen: int, base: Run, stale: int) -> set[str | None]:
    run = _run(make, lambda k, written: k == chosen)
    if run.refused is not None:
        return {"refused"}
    found: set[str | None] = set()
    if _differ(base.result, run.result):
        found.add("changes-result")
    elif not base.backward and not run.backward:
        far = _far(base.gradients, run.gradients)
        found |= {"changes-result"} if far else {None} if far is None else set()
    if base.backward:
        if _run(make, lambda k, written: k == chosen, count=True).stale > stale:
            found.add("breaks-backward")
    elif run.backward:
        found.add("breaks-backward")
    if run.overwrote_input:
        found.add("overwrites-input")
    return found


def _run(make: Make, in_place: Callable[[int, bool], bool], count: bool = False) -> Run:
    network, inputs = make()
    leaves = [*network.parameters(), *inputs]
    run = Run()
    stale = [0]

    def unpack(packed: tuple[Tensor, int]) -> Tensor:
        stale[0] += packed[0]._version != packed[1]
        return packed[0]

    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: (t, t._version), unpack) if count else nullcontext()
    with _patched(run, in_place, inputs), hooks:
        torch.manual_seed(1)
        try:
            result = network(*inputs)
        except Exception as error:
            run.refused = str(error)
            return run
        flat = list(_flat(result))
        state = [*network.buffers(), *network.parameters(), *_flat(getattr(network, "last", None))]
        run.result = [t.detach().clone() if isinstance(t, Tensor) else t for t in flat + state]
        loss = [t for t in flat if isinstance(t, Tensor) and t.requires_grad]
        if loss:
            try:
                parts = [(t.double() * torch.arange(t.numel()).cos().reshape(t.shape)).sum() for t in loss]
                torch.stack(parts).sum().backward()  # type: ignore[no-untyped-call]
            except Exception as error:
                run.backward = str(error)
    run.gradients = [p.grad if p.is_leaf else None for p in leaves]
    run.stale = stale[0]
    return run


@contextmanager
def _patched(run: Run, in_place: Callable[[int, bool], bool], inputs: list[Tensor]) -> Iterator[None]:
    originals = {name: getattr(F, name) for name in NAMES}

    def replacement(original: Any) -> Any:
        signature = inspect.signature(original)

        def call(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = dict(bound.arguments)
            written = given["inplace"]
            k = len(run.written)
            run.written.append(written)
            off = "p" in given and (given["p"] == 0 or not given["training"])
            run.nothing.append(off or given["input"].numel() == 0)
            given["inplace"] = in_place(k, written)
            if given["inplace"] and not run.nothing[-1]:
                run.overwrote_input = run.overwrote_input or _reaches(given["input"], inputs)
            return original(**given)

        return call

    try:
        for name, original in originals.items():
            setattr(F, name, replacement(original))
        yield
    finally:
        for name, original in originals.items():
            setattr(F, name, original)


def _reaches(written: Tensor, inputs: list[Tensor]) -> bool:
    mine = _bytes(written)
    return any(mine & _bytes(tensor) for tensor in inputs)


def _bytes(tensor: Tensor) -> set[int]:
    index = torch.zeros(tensor.shape, dtype=torch.int64)
    for dim, stride in enumerate(tensor.stride()):
        steps = torch.arange(tensor.shape[dim]) * stride
        index += steps.reshape([-1 if d == dim else 1 for d in range(tensor.dim())])
    return set((index.reshape(-1) * tensor.element_size() + tensor.data_ptr()).tolist())


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _differ(a: list[Any], b: list[Any]) -> bool:
    return len(a) != len(b) or any(not _same(x, y) for x, y in zip(a, b, strict=True))


def _same(x: Any, y: Any) -> bool:
    if isinstance(x, Tensor):
        if x.shape != y.shape or x.dtype != y.dtype:
            return False
        # Loops over strided and over whole memory round differently in the last bits.
        finite = x[torch.isfinite(x)]
        scale = float(finite.abs().max()) if finite.numel() else 0.0
        return torch.allclose(x.double(), y.double(), rtol=0, atol=1e-5 * scale + 1e-6, equal_nan=True)
    return bool(x == y)


def _far(a: list[Tensor | None], b: list[Tensor | None]) -> bool | None:
    """Whether gradients differ: surely (True), surely not beyond rounding (False), or too close to tell (None)."""
    both = [[t if t is not None else torch.zeros(1) for t in pair] for pair in zip(a, b, strict=True)]
    flat = [(x.double().flatten(), y.double().flatten()) for x, y in both if x.numel()]
    flat = [(x.expand_as(y) if x.numel() == 1 else x, y.expand_as(x) if y.numel() == 1 else y) for x, y in flat]
    if not all(bool(torch.isfinite(x).all() and torch.isfinite(y).all()) for x, y in flat):
        return None
    sizes = [float(torch.maximum(x.abs(), y.abs()).max()) for x, y in flat]
    largest = max(sizes, default=0.0)
    apart = [float((x - y).abs().max()) for x, y in flat]
    if any(gap > 0.1 * own and gap > 1e-3 * largest for gap, own in zip(apart, sizes, strict=True)):
        return True
    return None if any(gap > 1e-6 * largest for gap in apart) else False
