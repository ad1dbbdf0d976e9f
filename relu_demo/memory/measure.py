"""The measurement: each situation runs out of place and in place, and a few words say why the bytes differ or not."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from relu_demo.language import enumerated, mark
from relu_demo.machine.threads import one_thread
from relu_demo.memory.allocator import listen
from relu_demo.memory.report import Figures, Measurement
from relu_demo.memory.situations import Situation, situations
from relu_demo.request import KERNEL, Measure, Progress
from relu_demo.tensors.graph import saved_by

RESULT, INPUT, COPY, OTHER = mark("its result"), mark("its input"), mark("a copy of it"), mark("another tensor")

SMALL = 2**20
"""Elements of an activation up to which one thread measures as fast as many."""


def measure(request: Measure, progress: Progress = lambda done, of: None) -> tuple[Measurement, ...]:
    """Run each situation twice, out of place and in place, and return a Measurement of each, in order.

    `progress(done, of)` is called before the first situation and after each one, never while the allocator is being
    observed. On the CPU file descriptors 1 and 2 lead nowhere for moments in between, so draw a progress bar from
    `progress` itself, not from a thread.
    """
    rows, found = situations(request), []
    progress(0, len(rows))
    with one_thread() if math.prod(request.shape) <= SMALL else nullcontext():
        for row in rows:
            found.append(_measure(row, request))
            progress(len(found), len(rows))
    return tuple(found)


@dataclass(frozen=True)
class _Run:
    figures: Figures
    storages: int  # distinct storages among the results that stay referenced
    recorded: bool  # whether autograd recorded a graph


def _measure(row: Situation, request: Measure) -> Measurement:
    # zeros: the bytes do not depend on the values
    tensor = torch.zeros(request.shape, dtype=torch.float32, device=request.device)
    out_of_place, in_place = (_run_row(row, tensor, inplace) for inplace in (False, True))
    why, in_short = _why(row, request.device, out_of_place, in_place)
    unit = tensor.numel() * tensor.element_size()
    return Measurement(row, unit, out_of_place.figures, in_place.figures, why, in_short)


def _run_row(row: Situation, tensor: torch.Tensor, inplace: bool) -> _Run:
    layers = [layer for _ in range(row.depth) for layer in _block(row, tensor.shape[1], inplace)]
    net = nn.Sequential(*layers).to(tensor).train(row.training)

    def repl() -> tuple[torch.Tensor, ...]:
        o1 = net[0](tensor)
        h1 = net[1](o1)
        return o1, h1

    def chain() -> tuple[torch.Tensor, ...]:
        return (net(tensor),)

    with torch.set_grad_enabled(row.training):
        figures, results = listen(repl if row.both_names else chain, str(tensor.device))
    return _Run(figures, len({result.data_ptr() for result in results}), results[-1].grad_fn is not None)


def _block(row: Situation, channels: int, inplace: bool) -> list[nn.Module]:
    # The padding keeps the shape, so that every activation of every situation has the same size.
    conv = nn.Conv2d(channels, channels, KERNEL, padding=KERNEL // 2)
    norm = [getattr(nn, row.norm)(channels)] if row.norm else []
    return [conv, *norm, _activation(row.activation, inplace)]


def _activation(name: str, inplace: bool) -> Any:
    return getattr(nn, name)(inplace=inplace)


def _why(row: Situation, device: str, out_of_place: _Run, in_place: _Run) -> tuple[str, str]:
    """Say what decides the bytes: storages, saved tensors, the operation at the peak. Say it whole, and in short."""
    if row.both_names:
        left = {"there": _tensors_left(out_of_place), "here": _tensors_left(in_place)}
        why = mark("o1 and h1 are {there}, in place {here}", **left)
        if operations := _at_peak(in_place):
            why = mark("{why}; in place the peak is inside {operations}", why=why, operations=operations)
        return why, why
    if not in_place.recorded:
        why = mark("no backward, so nothing is kept")
        if operations := _at_peak(out_of_place, in_place):
            why = mark("{why}; the peak is inside {operations}", why=why, operations=operations)
        return why, why
    there, here = (layer_saves(_activation(row.activation, inplace), device) for inplace in (False, True))
    kept = {"activation": row.activation, "there": _listing(there), "here": _listing(here)}
    in_short = why = mark("{activation}'s backward keeps {there}", **kept)
    if here != there:
        in_short = why = mark("{activation}'s backward keeps {there}; in place {here}", **kept)
    elif INPUT not in there:
        why = mark("{activation}'s backward keeps {there}, not its input", **kept)
    if row.norm:
        others = _listing(layer_saves(getattr(nn, row.norm)(2), device))
        why = mark("{why}; {norm}'s keeps {others}", why=why, norm=row.norm, others=others)
    return why, in_short


def layer_saves(layer: nn.Module, device: str) -> tuple[str, ...]:
    """Return which of RESULT, INPUT, COPY and OTHER the layer saves for backward, sorted; empty if none.

    Run the layer on a small tensor of shape (1, C, 2, 2) and look at what its node saved: the address tells the result
    from the input, the values tell a copy. Tensors of another shape (weights, BatchNorm's statistics) do not count.
    """
    channels = getattr(layer, "num_features", 2)
    leaf = torch.linspace(-2.0, 2.0, 4 * channels, device=device).view(1, channels, 2, 2).requires_grad_()
    tensor = leaf.clone()  # PyTorch refuses to write in place to a leaf
    values, address = tensor.detach().clone(), tensor.data_ptr()
    result = layer(tensor)
    known = {address: INPUT, result.data_ptr(): RESULT}  # in place the two are one
    return tuple(
        sorted(
            {
                known.get(each.data_ptr(), COPY if torch.equal(each, values) else OTHER)
                for each in saved_by(result.grad_fn)
                if each.shape == values.shape
            }
        )
    )


def _tensors_left(run: _Run) -> str:
    return {1: mark("one tensor"), 2: mark("two tensors")}[run.storages]


def _at_peak(*runs: _Run) -> str:
    return enumerated(sorted({run.figures.peak_op for run in runs if run.figures.peak_op}) or [""])


def _listing(saved_tensors: tuple[str, ...]) -> str:
    return enumerated(saved_tensors or [mark("nothing")])
