"""Who saved, who read and who wrote which region of which storage; and what was stale when backward unpacked it.

An observer's listener passes on what it is told. The ledger has one page for each storage that it was told of,
and knows storages and saved tensors by weak references only.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from relu_demo.sanitizer.place import Place
from relu_demo.tensors.storage import Region, key_of, overlap, region_of, version_of, weak_ref


@dataclass(frozen=True)
class Access:
    """Who saved a tensor, or wrote to one."""

    number: int
    """Accesses are numbered in order."""
    place: Place
    call: int | None
    """The listener's own number for what did it; None if it has none."""
    region: Region | None = None
    """What was written to; None if it has no elements, or is not strided."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class SavedTensor:
    """A tensor that autograd saved for backward. Autograd's graph holds this object, and nothing else may."""

    tensor: Tensor | None
    """None once the ledger was told that no backward follows."""
    by: Access
    """Who saved it."""
    page: Page | None
    version: int

    @property
    def is_stale(self) -> bool:
        """Return whether the version counter has moved since: PyTorch refuses to use the tensor."""
        return self.tensor is not None and self.version >= 0 and version_of(self.tensor) != self.version

    def writes_since(self) -> list[Access]:
        """Return each write to its storage since it was saved, whatever its region."""
        return [] if self.page is None else [write for write in self.page.writes if write.number > self.by.number]


@dataclass
class RegionUses:
    """What has happened to a region of a storage since it was followed."""

    region: Region | None
    readers: dict[Place, None] = field(default_factory=dict)
    """Who read an element of it; each place once, in order."""
    used: bool = False
    """Whether an operator has taken any tensor of that storage, if only for a view or a shape."""
    overwritten: bool = False
    """Whether the storage was written to."""
    alias_used: bool = False
    """Whether autograd recorded an operator on another view of the storage.

    PyTorch may refuse that after a write to the region: version counters know no regions.
    """


@dataclass
class Page:
    """What the ledger knows of one storage."""

    storage: StorageWeakRef
    saved: list[weakref.ref[SavedTensor]] = field(default_factory=list)
    writes: list[Access] = field(default_factory=list)
    followed: list[RegionUses] = field(default_factory=list)

    def living(self) -> list[SavedTensor]:
        """Return the saved tensors that are not gone."""
        return [saved for ref in self.saved if (saved := ref()) is not None]


_BLANK = Page(None)  # type: ignore[arg-type]
"""Of every storage that the ledger was not told of."""


class Ledger:
    """The pages of all storages, and the saved tensors that backward found stale."""

    def __init__(self) -> None:
        self.stale: list[tuple[Access, list[Access]]] = []
        """Each time that backward unpacked a stale tensor: who saved it, and who wrote to its storage since."""
        # A page's weak reference keeps the storage's number from being given to another storage.
        self._pages: dict[int, Page] = {}
        self.count = 0
        """Accesses so far: the number of the last one."""

    def open(self, tensor: Tensor) -> Page | None:
        """Return the page of the tensor's storage, whose key stays its own from then on; None if it has no storage."""
        key = key_of(tensor)
        if key is None:
            return None
        if key not in self._pages:
            self._pages[key] = Page(weak_ref(tensor))
        return self._pages[key]

    def saved(self, tensor: Tensor, place: Place, call: int | None = None) -> SavedTensor:
        """Note that autograd saves the tensor. Return what its graph must hold."""
        self.count += 1
        page = self.open(tensor)
        saved = SavedTensor(tensor, Access(self.count, place, call), page, version_of(tensor))
        if page is not None:
            page.saved.append(weakref.ref(saved))
        return saved

    def unpacked(self, saved: SavedTensor) -> Tensor:
        """Note that backward asks for a saved tensor, and return it. Raise RuntimeError after `end_of_backward`."""
        if saved.tensor is None:
            raise RuntimeError("backward after the ledger was told that none follows")
        if saved.is_stale:
            self.stale.append((saved.by, saved.writes_since()))
        return saved.tensor

    def past_autograd(self) -> Iterator[tuple[SavedTensor, Access]]:
        """Yield each saved tensor that is alive and whose elements were written to without a count of its version."""
        for page in self._pages.values():
            for saved in page.living():
                if saved.tensor is None or saved.is_stale:
                    continue
                for write in saved.writes_since():
                    if overlap(write.region, region_of(saved.tensor)):
                        yield saved, write

    def saved_of(self, tensor: Tensor) -> list[weakref.ref[SavedTensor]]:
        """Return what is saved of the tensor's storage, and alive."""
        return [ref for ref in self._page(tensor).saved if ref() is not None]

    def wrote(self, tensor: Tensor, place: Callable[[], Place], call: int | None = None) -> None:
        """Note that the tensor is written to. `place` is called only if somebody may want to know."""
        self.count += 1
        page = self._page(tensor)
        for followed in page.followed:
            followed.overwritten = True
        if page.living():
            page.writes.append(Access(self.count, place(), call, region_of(tensor)))

    def read(self, tensor: Tensor, place: Callable[[], Place]) -> None:
        """Note that the tensor is read. `place` is called only if a followed region is."""
        for followed in self._page(tensor).followed:
            followed.used = True
            if followed.region is None:
                continue
            if overlap(region_of(tensor), followed.region):
                followed.readers[place()] = None
            elif torch.is_grad_enabled():
                followed.alias_used = True

    def used(self, tensor: Tensor) -> None:
        """Note that the tensor is used, and none of its elements is read: for a view, or for its shape."""
        for followed in self._page(tensor).followed:
            followed.used = True
            followed.alias_used |= torch.is_grad_enabled() and tensor._is_view()

    def follow(self, tensor: Tensor, region: Region | None) -> RegionUses:
        """From now on note who uses a region of the tensor's storage; with None only whether the storage is used."""
        page = self.open(tensor)
        followed = RegionUses(region)
        if page is not None:
            page.followed.append(followed)
        return followed

    def end_of_backward(self) -> None:
        """Let go of every saved tensor: no backward follows."""
        for page in self._pages.values():
            for saved in page.living():
                saved.tensor = None

    def _page(self, tensor: Tensor) -> Page:
        return self._pages.get(key_of(tensor) or 0, _BLANK)
