"""Holds the watch against PyTorch itself on random programs. The tests and scripts/check_oracle.py use it.

Without a fault a watched program computes the same bits; with one it raises the same words, and both lines are named;
where a backward uses overwritten values and says nothing, the watch says so. Brute force tells which values those are:
in a run that copies each tensor when it is saved, the gradients are others.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode

import relu_demo
from oracle.generator import Program, network
from oracle.truth import leaves_of, same
from relu_demo.watching.report import OVERWRITTEN, SILENT, Finding

LOUD = "has been modified by an inplace operation"
LOST = "its base or another view of its base has been modified inplace"


@dataclass
class Ran:
    """What a program gave: its numbers, or what it raised."""

    numbers: list[Any]
    error: Exception | None = None
    findings: tuple[Finding, ...] = ()


def watch_disagreements(seed: int, tally: Counter[str]) -> list[str]:
    """One line for each thing on which the watch and PyTorch disagree; what was compared is counted in `tally`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [f"seed {seed}: {line}" for line in _disagreements(seed, tally)]


def _disagreements(seed: int, tally: Counter[str]) -> Iterator[str]:
    plain, watched = _ran(network(seed)), _watched(network(seed))
    tally["programs"] += 1
    tally["findings"] += len(watched.findings)
    if (plain.error is None) != (watched.error is None):
        yield f"plainly {plain.error!r}, watched {watched.error!r}"
    elif plain.error is not None:
        yield from _errors(plain.error, watched, tally)
    else:
        tally["programs that run"] += 1
        if len(plain.numbers) != len(watched.numbers) or not all(map(same, plain.numbers, watched.numbers)):
            yield "the numbers are others"
        yield from (f"{found.kind}, and PyTorch raises nothing" for found in watched.findings if found.kind != SILENT)
        yield from _silent(seed, plain, watched, tally)


def _errors(error: Exception, watched: Ran, tally: Counter[str]) -> Iterator[str]:
    words, told = str(error), str(watched.error)
    if LOST in words and LOUD in told:  # PyTorch asks a view for its grad_fn before it compares versions
        words = told
    if LOUD in words:  # behind these words PyTorch goes on with the node, and the watch with the lines
        words = words.partition(LOUD)[0] + LOUD
    if not isinstance(error, RuntimeError):
        tally["programs that raise an error of another kind"] += 1
        yield from [] if (type(error), words) == (type(watched.error), told) else [f"{words!r}, watched {told!r}"]
        return
    if not _unsteady(told).startswith(_unsteady(words)):
        yield f"PyTorch says {words!r}, watched it says {told!r}"
    if "inplace" not in words.replace("-", "").lower():
        tally["programs that PyTorch refuses for another reason"] += 1
        return
    tally["programs that " + ("raise in backward" if LOUD in words else "PyTorch refuses")] += 1
    if not isinstance(watched.error, relu_demo.InplaceError):
        yield f"{words!r} is told without its lines"
        return
    found = next(each for each in watched.findings if each.kind != SILENT)
    if found.raised_at is None or (found.kind == OVERWRITTEN and not (found.saved_by and found.overwritten_by)):
        yield f"{words!r}: a line is not named"


def _silent(seed: int, plain: Ran, watched: Ran, tally: Counter[str]) -> Iterator[str]:
    told = any(f.kind == SILENT for f in watched.findings)
    tally["programs with gradients that are told to be wrong"] += told
    names: set[str] = set()
    copied = _copied(network(seed), names)
    if "rrelu" in names:  # it saves its noise before it fills it
        return
    truly = copied.error is None and not all(map(near, plain.numbers, copied.numbers))
    tally["programs with gradients that are wrong"] += truly
    if truly and not told:
        yield "the gradients are wrong, and nothing is told"


def _ran(made: tuple[Program, list[Tensor]]) -> Ran:
    program, inputs = made
    try:
        torch.manual_seed(1)
        left = list(leaves_of(program(*inputs)))
        outputs = {id(t): t for t in (*left, *leaves_of(program.last)) if isinstance(t, Tensor) and t.requires_grad}
        if outputs:
            parts = [(t.double() * torch.arange(t.numel()).cos().reshape(t.shape)).sum() for t in outputs.values()]
            torch.stack(parts).sum().backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        return Ran([], error)
    state = [*program.parameters(), *program.buffers()]
    gradients = [tensor.grad for tensor in (*program.parameters(), *inputs)]
    return Ran(
        [value.detach().clone() if isinstance(value, Tensor) else value for value in (*left, *state, *gradients)]
    )


def _watched(made: tuple[Program, list[Tensor]]) -> Ran:
    try:
        with relu_demo.watch() as watch:
            ran = _ran(made)
            if ran.error is not None:
                raise ran.error
    except Exception as error:
        ran = Ran([], error)
    ran.findings = watch.report.findings
    return ran


def _copied(made: tuple[Program, list[Tensor]], names: set[str]) -> Ran:
    class Names(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            names.add(getattr(func, "__name__", ""))
            return func(*args, **(kwargs or {}))

    with Names(), saved_tensors_hooks(lambda tensor: tensor.detach().clone(), lambda copy: copy):
        return _ran(made)


def _unsteady(words: str) -> str:
    """Words without what depends on how PyTorch runs, and not on the program.

    Under a mode a linear layer adds its bias out of place, a version less, and `reshape` makes another node. Of a view
    that was written to twice PyTorch names the node of the first write if that is still alive.
    """
    words = words.partition(" Hint:")[0].rstrip(".").replace(" of ReshapeAlias", " of View")
    return re.sub(r"output 0 of [\w:]+, is at version \d+; expected version \d+", "output 0 of ..., is at", words)


def near(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return (a is None) == (b is None)
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5, equal_nan=True)
