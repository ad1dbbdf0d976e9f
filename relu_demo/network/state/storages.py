"""Copies of whole storages: taken before the first write, compared with what is there now, and put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from relu_demo.tensors.storage import bytes_of


@dataclass(slots=True)
class Saved:
    """A storage, and a copy of what was in it."""

    storage: Any
    values: Any
    size: int
    """Bytes."""
    now: Tensor | None
    """The bytes of both as tensors, where they can be compared at once: a device would have to be waited for."""
    before: Tensor | None


def saved(storage: Any) -> Saved | None:
    """Return a storage with a copy of it; None of one that has no bytes of its own, of a tensor that wraps others."""
    try:
        values = storage.clone()
    except (RuntimeError, NotImplementedError):
        return None
    now = before = None
    if storage.device.type == "cpu":
        try:
            now, before = bytes_of(storage), bytes_of(values)
        except RuntimeError:  # PyTorch 1.13 has storages with a dtype
            now = before = None
    return Saved(storage, values, int(values.nbytes()), now, before)


def is_as_it_was(each: Saved) -> bool:
    """Return whether a storage certainly has the bytes that it had."""
    if each.now is None or each.before is None or each.storage.nbytes() != each.size:
        return False
    return torch.equal(each.now, each.before)


def put_back(each: Saved) -> None:
    """Put into a storage what was in it."""
    if is_as_it_was(each):
        return
    if each.storage.nbytes() != each.size:
        each.storage.resize_(each.size)
    each.storage.copy_(each.values)
