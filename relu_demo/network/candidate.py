"""One call that can be in place: what it would overwrite, who would be hurt, and who holds its memory after all."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from relu_demo.network.hooked import Hooked, tensors_of
from relu_demo.network.switch import Switched
from relu_demo.sanitizer.ledger import Followed, Saved
from relu_demo.sanitizer.place import Place
from relu_demo.tensors.graph import grad_fn_of
from relu_demo.tensors.storage import Region, is_gone, key_of, overlap, overlaps_itself, region_of


@dataclass
class Candidate:
    """One call that can be in place, and what would be hurt if it were. Holds no tensor."""

    index: int
    place: Place
    inplace: bool
    """The switch, as the source has it."""
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    """What it would overwrite; 0 for a call that writes nothing."""
    key: int | None
    storage: StorageWeakRef | None
    region: Region | None
    """Of the input: what it would overwrite."""
    input: Followed = field(default_factory=lambda: Followed(None))
    """Who uses the input's region after the call."""
    result: Followed | None = None
    """Who uses the result after the call, if that is a tensor with a storage of its own."""
    saved_before: list[weakref.ref[Saved]] = field(default_factory=list)
    made_by: Place | None = None
    """The line that made the input, if PyTorch may refuse to write to that."""
    saved_then: list[Place] = field(default_factory=list)
    """Who had it saved when the call was made; a backward inside the forward may have freed it since."""
    saved_by: list[Place] = field(default_factory=list)
    """Who saved some of the input's storage before the call, and still has it saved after the forward."""
    recorded: bool = False
    """Whether autograd recorded the call."""
    doubtful: bool = False
    """Only a real run can tell: a view, an alias in autograd, something PyTorch may refuse."""
    by_values: bool = False
    """Only values can tell: memory in the hands of code that no mode sees."""
    foreign: bool = False
    """No operator of this forward has made the input's storage, and it is neither the network's nor an input's."""
    on_input: bool = False
    """It would overwrite an input of the network."""
    draws_otherwise: bool = False
    switchable: bool = True
    switch: str | None = None
    """Path of the module whose attribute `inplace` decides; None where the source line has the argument itself."""
    type: str | None = None
    """Class of that module."""
    takes_inplace: bool = True
    """Whether it takes `inplace=`; else it is a write whose result is used."""
    again: bool = False
    """Inside of a checkpoint: it runs again in backward."""
    outlives: bool = False
    """The input's memory is still alive when the next operator runs."""
    unchanged: bool = False
    """It was seen to write what is there already, bit for bit, and has no backward."""
    held_outside: bool = False
    """Something outside the network still holds the input's memory after the forward."""
    held_by: tuple[Place, ...] = ()
    """Of that, the hooks that were given it."""
    held_in: tuple[Region, ...] = ()
    """Which regions are held; none where only the storage is known to be."""

    @property
    def readers(self) -> dict[Place, None]:
        """Return who reads what it would overwrite; each place once, in order."""
        return self.input.readers

    @property
    def result_used(self) -> bool:
        """Return False where the code drops the result and relies on the overwriting."""
        return self.result is None or self.result.used

    @property
    def suspect(self) -> bool:
        """Return whether a real run is needed."""
        unsure = self.doubtful or self.by_values
        return bool(self.readers or self.saved_by or self.on_input or self.held_outside or unsure)

    @property
    def is_harmless_here(self) -> bool:
        """Return whether no run is needed, though it is suspect: nobody can tell in place from not, with this input."""
        # In place the result is the input itself: who writes to one later writes to both.
        written = self.input.overwritten or (self.result is not None and self.result.overwritten)
        # A write of the same values, too, makes autograd give up some views of that memory.
        touched = written or self.saved_before or self.made_by is not None
        return self.unchanged and not (touched or self.doubtful)

    @property
    def is_again_alone(self) -> bool:
        """Return whether it is suspect only because a checkpoint runs it again."""
        return self.again and not replace(self, by_values=False).suspect

    @property
    def is_alive(self) -> bool:
        """Return whether the input's storage has not been freed."""
        return self.storage is not None and not is_gone(self.storage)


def mark_held(held: list[Candidate], hooked: Hooked) -> None:
    """
    Mark the calls whose input something outside the network holds; the result and its graph must be gone by now.

    What only the graph held is left to values: a node of an autograd.Function may keep a tensor that it did not save.
    """
    beyond = still_alive(held)
    regions: dict[int | None, dict[Region, None]] = {}
    for tensor in tensors_of({call.key for call in beyond}) if beyond else ():
        region = region_of(tensor)
        regions.setdefault(key_of(tensor), {}).update({} if region is None else {region: None})
    for call in held:
        holders = tuple(regions.get(call.key, ()))
        # Where no tensor of Python's is found, compiled code may hold the memory.
        overlaps = not holders or any(overlap(region, call.region) for region in holders)
        call.held_outside = call in beyond and overlaps
        call.held_by = hooked.holding(call.key) if call.held_outside else ()
        call.held_in = holders if call.held_outside else ()
        call.by_values = True


def still_alive(calls: list[Candidate]) -> list[Candidate]:
    """Return the calls whose input's storage has not been freed, once garbage is collected."""
    if any(call.is_alive for call in calls):
        gc.collect()
    return [call for call in calls if call.is_alive]


def may_be_refused(call: Switched, grad: bool) -> bool:
    """Return whether PyTorch may refuse the call in place, here or in backward; False is certain."""
    tensor = call.input
    if type(tensor) not in (Tensor, nn.Parameter) or not tensor.is_floating_point():
        return True
    if overlaps_itself(tensor) or (tensor.is_inference() and not torch.is_inference_mode_enabled()):
        return True
    if not grad:
        return False
    if (tensor.requires_grad and grad_fn_of(tensor) is None) or call.slope_below_zero:
        return True
    return tensor._is_view() and not _is_ordinary_view(tensor)


def _is_ordinary_view(view: Tensor) -> bool:
    # PyTorch 1.13 does not tell; there every view is doubtful.
    ask = getattr(torch._C._autograd, "_get_creation_meta", None)
    base = view._base
    if ask is None or base is None or (base.requires_grad and grad_fn_of(base) is None):
        return False
    if ask(view) != torch._C._autograd.CreationMeta.DEFAULT:
        return False
    if not view.is_inference() and view._version > 0:
        # Its base was written to since: autograd makes the view's grad_fn anew, or has not yet.
        return False
    # A view that was resized (`out=`) can reach beyond its base; autograd's view of it is wrong then.
    inner, outer = region_of(view), region_of(base)
    return inner is None or (outer is not None and outer.start <= inner.start and inner.end <= outer.end)
