"""What a check found, as plain data: no tensors, nothing of torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from relu_demo.edits.edit import Cure, united
from relu_demo.request import Check
from relu_demo.sanitizer.place import Place
from relu_demo.watching.report import WorthALook

EffectKind = Literal["changes-result", "breaks-backward", "overwrites-input", "refused"]

CHANGES_RESULT: Final = "changes-result"
BREAKS_BACKWARD: Final = "breaks-backward"
OVERWRITES_INPUT: Final = "overwrites-input"

WRONG_GRADIENTS = "the result is the same, its gradients are not"
"""The note of an effect `changes-result` on the gradients alone, of which PyTorch says nothing."""

STALE_WORDS = "modified by an inplace operation"
"""In PyTorch's words for a stale tensor."""


@dataclass(frozen=True)
class Effect:
    """One thing that one in-place call does, alone, to everything else out of place."""

    kind: EffectKind
    settled: bool
    """True if a real run showed it; False if it stays a suspicion (a meta tensor has no values to compare)."""
    by: tuple[Place, ...] = ()
    """Who reads the overwritten value, or who saved it."""
    difference: float | None = None
    """Largest absolute difference of the network's result; infinity if shapes, kinds or NaNs differ."""
    words: str | None = None
    """PyTorch's own words, first line; None where it says nothing."""
    writers: tuple[Place, ...] = ()
    """Who writes over what was saved, where that is not the call itself: in place, it saves its own result."""
    note: str | None = None
    """What is to be said besides."""
    rule: str = ""
    """The page of `relu-demo explain` on it; empty where PyTorch raises what no page knows."""
    outside: bool = False
    """Of `changes-result`: the network's own result is right, and what a hook or another holder sees is wrong."""


@dataclass(frozen=True)
class Call:
    """One call that can be in place: of an operation that takes `inplace=`, or a write whose result is used."""

    index: int
    """Position in the forward among all such calls, from 0."""
    place: Place
    inplace: bool
    """The switch as written."""
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    """What the call writes over if in place; 0 for a no-op (a dropout in evaluation)."""
    effects: tuple[Effect, ...] = ()
    """Of this call alone, in place. Of a call that is off they are not settled by a run."""
    readers: tuple[Place, ...] = ()
    """Who touches the overwritten memory afterwards, also where these inputs make no difference."""
    switch: str | None = None
    """Path of the module whose `inplace` decides, for all calls of it; None where the line has the argument itself."""
    takes_inplace: bool = True
    """Whether it takes `inplace=`; else it is a write whose result is used."""
    cure: Cure | None = None
    """What to do, of a call that does harm or has to be off; None for every other."""
    type: str | None = None
    """Class of that module."""
    source: str = ""
    """Its line, as it is written; empty where the text is not there, or is not what runs."""

    @property
    def safe(self) -> bool:
        """Whether it has no effect of its own."""
        return not self.effects


NOT_CURED = Cure("")


@dataclass(frozen=True)
class HarmfulWrite:
    """Another write in place (`x.mul_()` as a statement, `x[...] = y`) that does harm. It is meant to be in place."""

    place: Place
    savers: tuple[Place, ...]
    """Who saved what it overwrites; of a refused write, who made it so."""
    kind: EffectKind = BREAKS_BACKWARD
    """`changes-result` here means: of the gradients, and PyTorch says nothing."""
    cure: Cure = NOT_CURED
    """What to do."""
    rule: str = ""
    """The page of `relu-demo explain` on it; empty where there is none."""
    why: str = ""
    """What PyTorch refuses: `bn.num_batches_tracked was made under torch.inference_mode()`; who else has the memory."""
    source: str = ""
    """Its line, as it is written; empty where the text is not there, or is not what runs."""


@dataclass(frozen=True)
class Conflict:
    """Two in-place calls, each safe alone: the second writes over what the first, in place, saved."""

    saver: Place
    saver_call: int | None
    """Its index; None where it is no such call."""
    writer: Place
    writer_call: int | None
    """Its index; None where it is no such call."""


@dataclass(frozen=True)
class AsWritten:
    """The network as written, against the same with everything out of place."""

    difference: float | None
    """Largest absolute difference of the result; None if there was nothing to compare."""
    differs: bool
    """Is that more than rounding?"""
    forward_error: str | None
    """PyTorch's words where the forward raises."""
    backward: bool | None
    """Does it run? None: not reached, or nothing requires grad."""
    backward_error: str | None
    out_of_place_backward: bool | None
    """The same of the network with everything out of place."""
    gradients_differ: bool = False
    """The result is the same, backward runs, and the gradients are others (beyond rounding)."""
    hooks_differ: bool = False
    """What hooks see, or keep, is not the same (beyond rounding)."""
    conflicts: tuple[Conflict, ...] = ()

    @property
    def is_other(self) -> bool:
        """Whether the network as written does not do what it does out of place."""
        broken = self.backward is False and self.out_of_place_backward is not False
        return bool(self.differs or self.gradients_differ or self.hooks_differ or self.forward_error or broken)


@dataclass(frozen=True)
class Memory:
    """Bytes of live storages that one forward made, measured while it ran."""

    live: int
    """After the forward, its result and autograd's saved tensors still alive."""
    peak: int
    """The most after any one operation."""


@dataclass(frozen=True)
class Advice:
    """Which switches to turn, and what was measured with them turned."""

    turn_off: tuple[int, ...]
    """Calls (by index) that are on and must be off, with all others of the same module: its switch is one."""
    turn_on: tuple[int, ...]
    """Calls that are off, have a switch that can be reached, and could safely be on, all of them together.

    None where something must be turned off first, and none that would save no memory.
    """
    verified: bool
    """A real run with these switches gave the result of everything out of place, and its backward ran."""
    before: Memory | None = None
    """With `turn_off` followed and nothing more; None where nothing can be turned on."""
    after: Memory | None = None
    """With all the advice followed."""

    @property
    def saves_live(self) -> int:
        """Bytes fewer after the forward."""
        return self.before.live - self.after.live if self.before and self.after else 0

    @property
    def saves_peak(self) -> int:
        """Bytes fewer at the highest point of the forward."""
        return self.before.peak - self.after.peak if self.before and self.after else 0


@dataclass(frozen=True)
class Unseen:
    """A part of the network that could not be watched from inside."""

    module: str
    """Its path, as in `named_modules()`."""
    type: str
    """Its class."""
    why: str


@dataclass(frozen=True)
class Unrestored:
    """An object of the network that the check could not put back as it was."""

    name: str
    """Module and attribute, as in `named_modules()`; empty for what is deeper in an attribute."""
    type: str
    why: str


@dataclass(frozen=True)
class CheckReport:
    """What a check found in a network."""

    network: str
    """The class of the network."""
    training: bool
    """Whether the network was in training mode."""
    grad: bool
    """Whether autograd recorded the forward."""
    device: str
    """`cpu`, `cuda`, `meta`: where the network's tensors live."""
    calls: tuple[Call, ...]
    """The in-place calls of the forward, in order."""
    off: tuple[Call, ...]
    """The calls that take `inplace=` and run out of place. Their effects are what they might do."""
    harmful_writes: tuple[HarmfulWrite, ...]
    """Other writes in place, where they break backward or reach an input."""
    worth_a_look: tuple[WorthALook, ...]
    """Writes past autograd that may be meant, each with who reads that memory later: no fault."""
    as_written: AsWritten
    advice: Advice
    unseen: tuple[Unseen, ...]
    """What could not be watched from inside, and so is not called safe."""
    unrestored: tuple[Unrestored, ...]
    """Objects that the check could not put back as they were."""
    forwards: int
    """Forward passes that the check needed."""
    backwards: int
    """Backward passes that it needed."""
    torch_version: str = field(repr=False)
    safe_when_cured: bool = field(default=False, repr=False)
    """Whether the network was checked with all edits of the cures, and no fault was found."""
    request: Check | None = field(default=None, repr=False)
    """What was asked on the command line; None where `relu_demo.check` was called with a live object."""

    @property
    def cures(self) -> tuple[Cure, ...]:
        """All cures, each once."""
        found = (*(call.cure for call in self.calls), *(write.cure for write in self.harmful_writes))
        return tuple(dict.fromkeys(cure for cure in found if cure is not None))

    @property
    def patch(self) -> str:
        """All edits that may help as one patch for `patch -p0`; empty where there is none, or a file is gone."""
        return Cure("", united(cure.edits for cure in self.cures if cure.works is not False)).diff or ""

    @property
    def ok(self) -> bool:
        """All safe: every call alone, all together, the other writes too, and nothing left unseen."""
        return not self.has_fault and not self.unseen

    @property
    def has_fault(self) -> bool:
        """Whether a call alone, all together or another write does harm, as far as could be seen."""
        whole = self.as_written
        harm = self.harmful_writes or any(not call.safe for call in self.calls)
        return bool(harm or whole.is_other or whole.backward is False)


def unique(places: Iterable[Place]) -> tuple[Place, ...]:
    """The same places in the same order, each once."""
    return tuple(dict.fromkeys(places))
