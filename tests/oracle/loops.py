"""Random training loops as source, and brute force that names the lines of their loud faults.

Each loop has layers, optimizers, hidden states, writes in place of every kind and several backwards. Brute force runs
it under its own hooks, which let every backward go on, and looks at the version counters of all saved tensors after
each line: so it knows for each stale tensor the line that saved it and the lines that wrote to it.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

import relu_demo
from oracle.truth import same
from oracle.watched import near
from relu_demo.watching.report import OVERWRITTEN, SILENT, Finding

BEGINNING = """\
import torch
import torch.nn.functional as F
from torch import nn


def run():
    torch.manual_seed(0)
    one, two, norm = nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4)
    opt_one = torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9)
    opt_two = torch.optim.Adam(two.parameters(), lr=0.1)
    h, kept = torch.zeros(4, 4), []
    for step in range(2):
        a, b, c = torch.randn(4, 4), one(torch.randn(4, 4)), two(torch.randn(4, 4))
        loss = c.sum()
"""
END = """\
        (loss + c.sum()).backward(retain_graph=True)
    return [*(p.grad for p in (*one.parameters(), *two.parameters())), a, b, c, h]
"""
COMPUTES = """\
{x} = one({y})
{x} = two({y})
{x} = norm({y})
{x} = torch.sigmoid({y})
{x} = torch.tanh({y})
{x} = {y}.exp().clamp(max=3)
{x} = {y}.sqrt().nan_to_num() + 1
{x} = {y}.softmax(-1)
{x} = F.relu({y})
{x} = F.dropout({y}, 0.5)
{x} = F.layer_norm({y}, (4,))
{x} = {y} + {z}
{x} = {y} * {z}
{x} = {y} / ({z}.abs() + 1)
{x} = {y} @ {z}
{x} = {y}.t()
{x} = {y}.detach()
{x} = torch.where({x} > 0, {y}, {z})
kept.append({x})
{x} = torch.stack(kept).sum(0) if kept else {y}
""".splitlines()
WRITES = """\
{x}.mul_(2)
{x} += {y}
{x} *= {y}
{x}[0] = 0
{x}[:, 1] += 1
{x}[{y}.detach() > 1] = 0.5
for i in range(4): {x}[i] = {x}[i] * 2
{x}.clamp_(min=0)
{x}.zero_()
{x}.copy_({y})
{x}.detach().add_(1)
{x} = {y}.sub_({z})
{x} = {y}.add_(1).mul_(0.5)
F.relu({x}, inplace=True)
{x} = F.elu({y}, inplace=True)
with torch.no_grad(): {x}.add_(1)
with torch.no_grad(): one.weight.mul_(0.9)
norm.running_mean.add_({x}.detach().mean(0))
""".splitlines()
PAST_AUTOGRAD = """\
{x}.data.mul_(2)
{x}.data += 1
{x}.data[0] = 3
{x}.data.copy_({y}.detach())
torch.relu_({x}.data)
one.weight.data.mul_(0.9)
""".splitlines()
"""Only loops of an odd seed have these."""
TRAINS = """\
opt_one.step()
opt_two.step()
opt_one.zero_grad()
nn.utils.clip_grad_norm_(one.parameters(), 1.0)
loss = {x}.pow(2).mean()
loss = loss + {x}.sum()
loss += {x}.abs().mean()
loss.backward(retain_graph=True)
torch.autograd.grad(loss, [*one.parameters(), *two.parameters()], retain_graph=True, allow_unused=True)
""".splitlines()
LOUD = "has been modified by an inplace operation"

Packed = tuple[Tensor, int, int, int, Tensor]
"""A saved tensor, its version then, the line, how many writes there were before, and a copy of its values."""

Lines = tuple[int, tuple[int, ...]]
"""The line that saved a tensor, and those that wrote to it since."""


def source(seed: int) -> str:
    """The program of a seed."""
    rng = random.Random(seed)
    lines = []
    for _ in range(rng.randint(6, 16)):
        (kind,) = rng.choices((COMPUTES, WRITES + PAST_AUTOGRAD * 4 * (seed % 2), TRAINS), (9, 5, 6))
        x, y, z = rng.choices("abch", k=3)
        lines.append(f"        {rng.choice(kind).format(x=x, y=y, z=z)}\n")
    return BEGINNING + "".join(lines) + END


def loop_disagreements(seed: int, folder: Path, tally: Counter[str]) -> list[str]:
    """One line for each thing on which the watch and brute force disagree about a loop; what was compared is counted.

    `folder` is where the loop's source is written: the watch reads it there.
    """
    run, path = _loaded(seed, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [f"loop {seed}: {line}" for line in _disagreements(run, path, seed % 2 == 0, tally)]
    finally:
        path.unlink()


def _loaded(seed: int, folder: Path) -> tuple[Callable[[], list[Tensor | None]], Path]:
    path, variables = folder / f"loop_{seed}.py", dict[str, Any]()
    path.write_text(source(seed), encoding="utf-8")
    exec(compile(source(seed), str(path), "exec"), variables)
    return variables["run"], path


def _disagreements(
    run: Callable[[], list[Tensor | None]], path: Path, exact: bool, tally: Counter[str]
) -> Iterator[str]:
    plain, error, _ = _outcome(run)
    watched, told, findings = _outcome(run, watch=True)
    tally["loops"] += 1
    if error is None and told is None:
        tally["loops that run"] += 1
        if not all(map(same, plain, watched)):
            yield "the numbers are others"
        yield from (f"{found.kind}, and PyTorch raises nothing" for found in findings if found.kind != SILENT)
        silent = {
            line for found in findings if found.saved_by is not None and not found.why for line, _ in _savers(found)
        }
        overwritten = _traced(run, path).silent
        tally["loops with gradients of overwritten values"] += bool(overwritten)
        if silent - overwritten:
            yield f"overwritten past autograd is what the lines {sorted(overwritten)} saved, told {sorted(silent)}"
        for line in overwritten - silent:  # right for all that, if the values do not matter
            tally["  lines of them that were not told"] += 1
            if not all(map(near, plain, _traced(run, path, keeping=line).numbers)):
                yield f"what line {line} saved was overwritten past autograd, gradients are wrong, and nothing is told"
    elif error is None or told is None or str(error)[:60] not in str(told):
        yield f"plainly {error!r}, watched {told!r}"
    elif LOUD in str(error):
        tally["loops that raise in backward"] += 1
        loud = [found for found in findings if found.kind == OVERWRITTEN]
        trace = _traced(run, path)
        truly = {_without_its_own(line, trace.writers[id(tensor)][n:]) for tensor, line, n in trace.stale}
        named = {lines for found in loud for lines in _lines_of(found)}
        tally["  stale tensors, by their lines"] += len(truly)
        if not exact:  # who wrote past autograd raised no version, and is told as well
            truly, named = {(line, ()) for line, _ in truly}, {(line, ()) for line, _ in named}
        if truly != named:
            yield f"the lines are {sorted(truly)}, told {sorted(named)}"


def _outcome(
    run: Callable[[], list[Tensor | None]], watch: bool = False
) -> tuple[list[Tensor | None], Exception | None, list[Finding]]:
    watching = relu_demo.watch()
    try:
        if not watch:
            return run(), None, []
        with watching:
            numbers = run()
    except Exception as error:
        return [], error, list(watching.report.findings)
    return numbers, None, list(watching.report.findings)


def _savers(finding: Finding) -> Iterator[tuple[int, int]]:
    """The lines that saved what was overwritten, each with the version counter then."""
    assert finding.saved_by is not None
    yield finding.saved_by.line, finding.tensor.version
    yield from ((saver.site.line, saver.tensors[0].version) for saver in finding.also_saved_by)


def _lines_of(finding: Finding) -> Iterator[Lines]:
    for line, at in _savers(finding):
        counted = []
        for write in finding.overwritten_by:  # a norm moves its statistics past the version counter
            if write.version != at:
                counted.append(write.site.line)
            at = write.version
        yield _without_its_own(line, counted)


def _without_its_own(saver: int, writers: list[int]) -> Lines:
    """The lines, each once; that of the saver itself (`x *= x`) only where there is no other."""
    found = dict.fromkeys(writers)
    return saver, tuple(line for line in found if line != saver) or tuple(found)


class _StaleError(Exception):
    """A backward has asked for a stale tensor."""


@dataclass
class _Trace:
    """What brute force sees of one run: after each line the versions and values of every saved tensor."""

    path: str
    line: int = 0
    versions: dict[int, int] = field(default_factory=dict)
    writers: dict[int, list[int]] = field(default_factory=dict)
    """By `id` of a saved tensor: the line of each write to it."""
    saved: list[Tensor] = field(default_factory=list)
    stale: list[tuple[Tensor, int, int]] = field(default_factory=list)
    """The stale tensors that backward has asked for, with the line that saved each, and the writes before that."""
    silent: set[int] = field(default_factory=set)
    """The lines that saved what a backward found with other values and the version counter that it had."""
    keeping: int = 0
    """The line whose saved tensors backward gets as they were."""
    numbers: list[Tensor | None] = field(default_factory=list)
    """What the loop returned."""

    def pack(self, tensor: Tensor) -> Packed:
        if id(tensor) not in self.versions:
            self.saved.append(tensor)
            self.versions[id(tensor)], self.writers[id(tensor)] = tensor._version, []
        before = len(self.writers[id(tensor)])
        return tensor, tensor._version, self.line, before, tensor.detach().clone()

    def unpack(self, packed: Packed) -> Tensor:
        tensor, version, line, before, values = packed
        if tensor._version != version:
            self.stale.append((tensor, line, before))
        elif not same(tensor.detach(), values) and (tensor.dim() > 1 or tensor.requires_grad):
            self.silent.add(line)  # a norm fills its own statistics, of one dimension
        return values if line == self.keeping else tensor

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != self.path:
            return None
        for tensor in self.saved:
            if tensor._version != self.versions[id(tensor)]:
                self.versions[id(tensor)] = tensor._version
                self.writers[id(tensor)].append(self.line)
        if self.stale:
            raise _StaleError  # PyTorch would have raised in that line
        self.line = frame.f_lineno
        return self


def _traced(run: Callable[[], list[Tensor | None]], path: Path, keeping: int = 0) -> _Trace:
    trace, before = _Trace(str(path), keeping=keeping), sys.gettrace()
    sys.settrace(trace)
    try:
        with saved_tensors_hooks(trace.pack, trace.unpack):
            trace.numbers = run()
    except _StaleError:
        pass
    finally:
        sys.settrace(before)
    return trace
