"""Measures each situation out of place and in place, and says in a few words why the two are equal or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from relu_demo.allocator import listen
from relu_demo.memory import Figures, Measurement, Options, Situation, situations
from relu_demo.saved import saved

Progress = Callable[[int, int], None]


def measure(
    options: Options, progress: Progress | None = None, rows: Sequence[Situation] | None = None
) -> tuple[Measurement, ...]:
    """Runs each situation twice, out of place and in place, and gives a Measurement for each, in the same order.

    `rows` are `situations(options)` unless given. `progress(done, of)` is called before the first situation and after
    each one, never while the allocator is listened to. On the CPU descriptors 1 and 2 point nowhere for moments in
    between, so a progress bar should draw from `progress` alone, not from a thread.
    """
    rows = situations(options) if rows is None else rows
    notify = progress or (lambda done, of: None)
    found = []
    notify(0, len(rows))
    for row in rows:
        found.append(_measure(row, options))
        notify(len(found), len(rows))
    return tuple(found)


def _measure(row: Situation, options: Options) -> Measurement:
    tensor = torch.zeros(options.shape, device=options.device)  # bytes do not depend on values
    out_of_place, kept_out = _run(row, tensor, inplace=False)
    in_place, kept_in = _run(row, tensor, inplace=True)
    why = _why(row, options.device, (out_of_place, kept_out), (in_place, kept_in))
    return Measurement(row, tensor.numel() * tensor.element_size(), out_of_place, in_place, why)


def _run(row: Situation, tensor: torch.Tensor, inplace: bool) -> tuple[Figures, int]:
    """The figures of one forward, and how many storages its held tensors have."""
    layers = [layer for _ in range(row.depth) for layer in _block(row, tensor.shape[1], inplace)]
    net = nn.Sequential(*layers).to(tensor.device).train(row.training)

    def repl() -> tuple[torch.Tensor, ...]:
        o1 = net[0](tensor)
        h1 = net[1](o1)
        return o1, h1

    def chain() -> tuple[torch.Tensor, ...]:
        return (net(tensor),)

    with torch.set_grad_enabled(row.training):
        figures, held = listen(repl if row.both_names else chain, str(tensor.device))
    return figures, len({each.data_ptr() for each in held})


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
    """The reason in a few words, each of them from something looked at: storages, saved tensors, the peak's op."""
    if row.both_names:
        return f"o1 and h1 are {_tensors(out_of_place.storages)}; in place {_tensors(in_place.storages)}"
    if not (out_of_place.recorded or in_place.recorded):
        ops = {run.figures.peak_op for run in (out_of_place, in_place)} - {None}
        peak = f"; the peak is inside {' and '.join(sorted(map(str, ops)))}" if ops else ""
        return f"no backward, so nothing is kept{peak}"
    kept = [saved(_activation(row.activation, inplace), device) for inplace in (False, True)]
    words = f"{row.activation}'s backward keeps {_words(kept[0])}"
    if row.activation == "ReLU":
        pass
    return words


def _words(kept: tuple[str, ...]) -> str:
    return " and ".join(f"its {each}" for each in kept) or "nothing"
