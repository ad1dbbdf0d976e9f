"""What autograd has saved, by storage: who saved it, who wrote to it since, and whether its elements have changed."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from relu_demo.watching.callsite import CallSite

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_PRIME = 1_000_003


class Saved:
    """A tensor that autograd saved for backward. Its graph holds this object; the pages know it weakly."""

    __slots__ = ("__weakref__", "alias", "before", "hooked", "key", "number", "seen", "site", "version", "writers")

    def __init__(self, alias: Tensor, version: int, site: CallSite) -> None:
        self.alias = alias
        """Shares storage and version counter with what was saved; a leaf is saved itself, as PyTorch does."""
        self.version = self.seen = version
        """The version counter when it was saved, and when it was last compared."""
        self.site = site
        self.writers: list[Any] = []
        """Every write since, in order."""
        self.before: tuple[int, ...] | None = None
        """What `fingerprint` gave before a write that the version counter does not count."""
        self.hooked = False
        """Whether other hooks on saved tensors keep it, under which PyTorch compares no version."""
        self.key: int | None = None
        self.number = 0
        """How many tensors were saved by then; 0 of what other hooks keep."""


class Pages:
    """The saved tensors that are alive, by the storage that they are in."""

    def __init__(self) -> None:
        self.by_key: dict[int, set[weakref.KeyedRef[int, Saved]]] = {}

    def add(self, saved: Saved) -> None:
        """Enter a saved tensor. It keeps its storage alive, and so the key its own."""
        key = saved.key = key_of(saved.alias)
        if key is not None:
            page = self.by_key.get(key)
            if page is None:
                page = self.by_key[key] = set()
            page.add(weakref.KeyedRef(saved, self._remove, key))

    def of(self, tensor: Tensor) -> list[Saved]:
        """Return what is saved of the tensor's storage."""
        key = key_of(tensor)
        page = self.by_key.get(key) if key is not None else None
        return [saved for ref in list(page) for saved in [ref()] if saved is not None] if page else []

    def _remove(self, ref: weakref.KeyedRef[int, Saved]) -> None:
        page = self.by_key.get(ref.key)
        if page is not None:
            page.discard(ref)
            if not page:
                del self.by_key[ref.key]


def key_of(tensor: Tensor) -> int | None:
    """Return the key of the tensor's storage while that is alive; None if it has none (sparse, a wrapper)."""
    try:
        key: int = tensor.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):
        return None
    return key


def tensors_in(args: Any, kwargs: Any) -> Iterator[Tensor]:
    """Yield the tensors among arguments, in lists and tuples too."""
    for value in args:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            for item in value:
                if isinstance(item, Tensor):
                    yield item
    if kwargs:
        yield from tensors_in(kwargs.values(), None)


def shares_counter(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors have one version counter: `y` and `y.detach()` have, `y` and `y.data` have not."""
    version = a._version
    if a is b or version != b._version:
        return a is b
    increment_version(a)
    shared = b._version != version
    torch._C._autograd._unsafe_set_version_counter((a,), (version,))
    return shared


def fingerprint(tensor: Tensor) -> tuple[int, ...]:
    """Return what changes, nearly always, when any bit of the tensor does: shape and two sums of its bits."""
    shape = tuple(tensor.shape)
    if tensor.device.type == "meta" or tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        return shape
    with torch.no_grad():
        flat = tensor.detach().resolve_conj().resolve_neg().reshape(-1)
        if flat.is_complex():
            flat = torch.view_as_real(flat).reshape(-1)
        bits = flat.view(_INTEGERS[flat.element_size()]).to(torch.int64)
        places = torch.arange(bits.numel(), device=bits.device) % _PRIME + 1
        return (*shape, int(bits.sum()), int((bits * places).sum()))
