"""What autograd has saved, by storage: who saved it, who wrote to it since, and whether its elements have changed."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from relu_demo.tensors.storage import INTEGERS, key_of
from relu_demo.watching.callsite import CallSite

_PRIME = 1_000_003


@dataclass(frozen=True)
class Write:
    """One write over a saved tensor."""

    site: CallSite
    name: str | None
    """What the user calls the tensor that was written to."""
    elements: int
    """How many that has: fewer than what was saved if it is a view of a part."""
    version: int
    """The version counter after it."""
    elsewhere: bool
    """Whether it wrote to another part of the memory, of which there is one version counter."""
    in_container: bool = False
    """Whether its line writes to an item of a list or dictionary, `features[i] += y`."""


Pages: TypeAlias = "dict[int, dict[int, weakref.ref[Saved]]]"
"""The saved tensors that a graph holds, by the storage that they are in and their ids."""


class Saved:
    """A tensor that autograd saved for backward. Its graph holds this, and the pages forget it with the graph."""

    writers: tuple[Write, ...] = ()
    """Every write since, in order."""
    before: tuple[int, ...] | None = None
    """What `fingerprint` gave before a write that the version counter does not count."""
    kept: Tensor | None = None
    """A copy from before such a write, where its node can be run on that."""
    instead: Tensor | None = None
    """What its node gets when it runs once more."""
    judged = False
    """Whether its node is asked for a proof that its gradient is wrong."""
    hooked = False
    """Whether other hooks on saved tensors keep it, under which PyTorch compares no version."""
    key = -1
    """Of its storage; -1 if it has none."""
    number = 0
    """How many tensors were saved by then; 0 of what other hooks keep."""

    def __init__(self, alias: Tensor, version: int, site: CallSite, pages: Pages) -> None:
        self.alias = alias
        """Shares storage and version counter with what was saved; a leaf is saved itself, as PyTorch does."""
        self.version = self.seen = version
        """The version counter when it was saved, and when it was last compared."""
        self.site, self.pages = site, pages
        key = key_of(alias)
        if key is not None:  # the tensor keeps its storage, and so the key
            self.key = key
            pages.setdefault(key, {})[id(self)] = weakref.ref(self)

    def __del__(self) -> None:
        page = self.pages.get(self.key)
        if page is not None:
            page.pop(id(self), None)
            if not page:
                del self.pages[self.key]

    def remember(self, copied: bool) -> None:
        """Take the fingerprint before a write that the version counter does not count, and a copy if `copied`."""
        if self.before is None:
            self.before = fingerprint(self.alias)
            if copied:
                with torch.no_grad():
                    self.kept = self.alias.clone()

    def has_changed(self) -> bool:
        """Return whether the elements are others than before such a write."""
        return self.before is not None and fingerprint(self.alias) != self.before


class Packed(NamedTuple):
    """What a graph holds where other hooks on saved tensors have made something of one that shares its memory."""

    packed: Any
    saved: Saved


def saved_of(pages: Pages, tensor: Tensor) -> list[Saved]:
    """Return what is saved of the tensor's storage."""
    page = pages.get(key_of(tensor) or -1, {})
    return [saved for reference in [*page.values()] if (saved := reference()) is not None]


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
        bits = flat.view(INTEGERS[flat.element_size()]).to(torch.int64)
        places = torch.arange(bits.numel(), device=bits.device) % _PRIME + 1
        return (*shape, int(bits.sum()), int((bits * places).sum()))


# Whether a gradient is wrong: a node of the graph runs a second time, on what it saved as that was when it saved it.
# That a saved tensor was overwritten proves nothing: ReLU's backward asks only where its result is above zero.

CLOSE = 1e-5
"""How far two runs of one node may be from each other, relative to the larger number: threads add in any order."""


def saved_at(node: Any) -> Iterator[Saved]:
    """Yield what the watch holds for a node of C++, without unpacking it; PyTorch before 2.9 tells of nothing."""
    if not callable(node):  # a custom Function's
        return
    for attribute in dir(node):
        if attribute.startswith("_raw_saved_"):
            raw = getattr(node, attribute, None)
            for each in raw if isinstance(raw, (list, tuple)) else (raw,):
                held = getattr(each, "data", None)
                if isinstance(held, Saved):
                    yield held


def is_wrong(node: Any, overwritten: Sequence[Saved], given: Sequence[Any], received: Sequence[Any]) -> bool:
    """Return whether what a node gave for the gradients that it received differs on the copies of what it saved."""
    for saved in overwritten:
        saved.instead = saved.kept
    try:
        with torch.no_grad():
            again = node(*received)
    finally:
        for saved in overwritten:
            saved.instead = None
    right = again if isinstance(again, tuple) else (again,)
    return not all(map(_is_close, given, right))


def _is_close(given: Any, right: Any) -> bool:
    if not (isinstance(given, Tensor) and isinstance(right, Tensor)):
        return given is right
    if right.shape != given.shape:  # the engine adds up what was broadcast
        right = right.sum_to_size(given.shape)
    if given.layout is not torch.strided:
        given, right = given.to_dense(), right.to_dense()
    return torch.allclose(given, right.to(given.dtype), rtol=CLOSE, atol=0, equal_nan=True)
