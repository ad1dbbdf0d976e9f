"""The allocator, observed while a forward runs: the bytes live after it, and the most at any moment."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch.autograd.profiler import profile
from torch.autograd.profiler_util import MEMORY_EVENT_NAME

from relu_demo.memory.report import Figures

Result = TypeVar("Result")


def listen(forward: Callable[[], Result], device: str) -> tuple[Figures, Result]:
    """Run `forward` and return the bytes that it allocated, counted while its result is referenced, and that result.

    Only allocations made during `forward` count; a block from before does not, nor does its release. Scratch memory
    counts: on the CPU oneDNN's reordered copies of input, weights and result are tensors of PyTorch's allocator, as is
    the unfolded input of `_slow_conv2d_forward`. What a library takes from the system by itself is not seen, such as
    oneDNN's compiled kernels. The device is the CPU or one of CUDA's: no other tells what it allocates.
    """
    place = torch.device(device)
    return _listen_cuda(forward, place) if place.type == "cuda" else _listen_cpu(forward)


def _listen_cpu(forward: Callable[[], Result]) -> tuple[Figures, Result]:
    # Not torch.profiler.profile, which imports a second's worth of modules and then uses the same profiler.
    profiler: Any = profile(profile_memory=True)
    # The profiler prints when it starts and when it stops. Only that is silenced, not what the forward prints.
    with _no_garbage_collection():
        with quiet():
            profiler.__enter__()
        try:
            result = forward()
        finally:
            with quiet():
                profiler.__exit__(None, None, None)
    return _count(_events(profiler.kineto_results.experimental_event_tree())), result


def _listen_cuda(forward: Callable[[], Result], device: torch.device) -> tuple[Figures, Result]:
    # The first call allocates what stays for the life of the process: cuDNN's and cuBLAS's workspaces.
    forward()
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    result = forward()
    torch.cuda.synchronize(device)
    live = torch.cuda.memory_allocated(device) - before
    return Figures(live, torch.cuda.max_memory_allocated(device) - before), result


@contextmanager
def quiet() -> Iterator[None]:
    """Point file descriptors 1 and 2 at the null device inside the context. Exceptions pass through.

    Replacing sys.stderr would not do: C++ writes to the descriptor. All threads of the process share the descriptors,
    so keep the block short: what another thread prints meanwhile is lost.
    """
    # If descriptor 1 or 2 is closed, a copy of the other could get its number and be printed to: fill it first.
    opened = [os.open(os.devnull, os.O_RDWR)]
    while opened[-1] <= 2:
        opened.append(os.open(os.devnull, os.O_RDWR))
    copies = [(fd, os.dup(fd)) for fd in (1, 2)]
    try:
        for fd, _ in copies:
            os.dup2(opened[-1], fd)
        yield
    finally:
        for fd, copy in copies:
            os.dup2(copy, fd)
            os.close(copy)
        for fd in opened:
            os.close(fd)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    # Older garbage freed during the run makes the CPU allocator warn on stderr of blocks it does not know.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _events(tree: list[Any]) -> list[tuple[int, int, int, str | None]]:
    """Return the allocator's events by time: (nanoseconds, address, bytes, outermost operation); a release is < 0."""
    events = []
    todo: list[tuple[Any, str | None]] = [(node, None) for node in reversed(tree)]
    while todo:
        node, operation = todo.pop()
        if node.name == MEMORY_EVENT_NAME:
            fields = node.extra_fields
            events.append((node.start_time_ns, fields.ptr, fields.alloc_size, operation))
        todo += [(child, operation or node.name) for child in reversed(node.children)]
    return sorted(events, key=lambda event: event[0])


def _count(events: list[tuple[int, int, int, str | None]]) -> Figures:
    blocks: dict[int, int] = {}
    live, peak, peak_op = 0, 0, None
    for _, address, size, operation in events:
        if size > 0:
            blocks[address] = size
            live += size
        else:  # a block from before the forward is not among them and releases nothing
            live -= blocks.pop(address, 0)
        if live > peak:
            peak, peak_op = live, operation
    return Figures(live, peak, peak_op)
