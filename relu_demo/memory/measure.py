"""Measures each situation out of place and in place, and says in a few words why the two are equal or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from relu_demo.machine.threads import one_thread
from relu_demo.memory.allocator import listen
from relu_demo.memory.saved import INPUT, saved
from relu_demo.memory.situations import Figures, Measurement, Situation, situations
from relu_demo.request import Measure, Progress

SMALL = 2**20
"""Elements in an activation up to which one thread measures as fast as many."""


def measure(
    request: Measure, progress: Progress | None = None, rows: Sequence[Situation] | None = None
) -> tuple[Measurement, ...]:
    """Runs each situation twice, out of place and in place, and gives a Measurement for each, in the same order.

    `rows` are `situations(request)` unless given. `progress(done, of)` is called before the first situation and after
    each one, never while the allocator is listened to. On the CPU descriptors 1 and 2 point nowhere for moments in
    between, so a progress bar should draw from `progress` alone, not from a thread.
    """
    rows = situations(request) if rows is None else rows
    notify = progress or (lambda done, of: None)
    found = []
    notify(0, len(rows))
    with one_thread() if math.prod(request.shape) <= SMALL else nullcontext():
        for row in rows:
            found.append(_measure(row, request))
            notify(len(found), len(rows))
    return tuple(found)


@dataclass(frozen=True)
class _Run:
    figures: Figures
    storages: int  # how many storages the held tensors have between them
    recorded: bool  # whether autograd recorded a backward


def _measure(row: Situation, request: Measure) -> Measurement:
    # zeros: the bytes do not depend on the values
    tensor = torch.zeros(request.shape, dtype=torch.float32, device=request.device)
    out_of_place = _run(row, tensor, inplace=False)
    in_place = _run(row, tensor, inplace=True)
    why = _why(row, request.device, out_of_place, in_place)
    unit = tensor.numel() * tensor.element_size()
    return Measurement(row, unit, out_of_place.figures, in_place.figures, why)


def _run(row: Situation, tensor: torch.Tensor, inplace: bool) -> _Run:
    layers = [layer for _ in range(row.depth) for layer in _block(row, tensor.shape[1], inplace)]
    net = nn.Sequential(*layers).to(tensor).train(row.training)

    def repl() -> tuple[torch.Tensor, ...]:
        o1 = net[0](tensor)
        h1 = net[1](o1)
        return o1, h1

    def chain() -> tuple[torch.Tensor, ...]:
        return (net(tensor),)

    with torch.set_grad_enabled(row.training):
        figures, held = listen(repl if row.both_names else chain, str(tensor.device))
    return _Run(figures, len({each.data_ptr() for each in held}), held[-1].grad_fn is not None)


def _block(row: Situation, channels: int, inplace: bool) -> list[nn.Module]:
    # padding=1 keeps the shape, so that each activation of each situation is one unit
    conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
    norm = [_norm(row.norm, channels)] if row.norm else []
    return [conv, *norm, _activation(row.activation, inplace)]


def _norm(name: str, channels: int) -> nn.Module:
    layer: nn.Module = getattr(nn, name)(channels)
    return layer


def _activation(name: str, inplace: bool) -> nn.Module:
    layer: nn.Module = getattr(nn, name)(inplace=inplace)
    return layer


def _why(row: Situation, device: str, out_of_place: _Run, in_place: _Run) -> str:
    """The reason in a few words, each of them looked up: storages, saved tensors, the operation of the peak."""
    if row.both_names:
        words = f"o1 and h1 are {_tensors(out_of_place)}, in place {_tensors(in_place)}"
        return words + _peak("; in place the peak is", in_place)
    if not (out_of_place.recorded or in_place.recorded):
        return "no backward, so nothing is kept" + _peak("; the peak is", out_of_place, in_place)
    kept, kept_in_place = (saved(_activation(row.activation, inplace), device) for inplace in (False, True))
    words = f"{row.activation}'s backward keeps {_words(kept)}"
    if kept_in_place != kept:
        words += f"; in place {_words(kept_in_place)}"
    elif INPUT not in kept:
        words += f", not {INPUT}"
    return f"{words}; {row.norm}'s keeps {_words(saved(_norm(row.norm, 2), device))}" if row.norm else words


def _tensors(run: _Run) -> str:
    return {1: "one tensor", 2: "two tensors"}[run.storages]


def _peak(words: str, *runs: _Run) -> str:
    ops = sorted({run.figures.peak_op for run in runs if run.figures.peak_op})
    return f"{words} inside {' and '.join(ops)}" if ops else ""


def _words(kept: tuple[str, ...]) -> str:
    return " and ".join(kept) or "nothing"
