"""What a watch found, as plain data: no tensors, nothing of torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from relu_demo.request import Watch

OVERWRITTEN, REFUSED, SILENT = "overwritten", "refused", "silent"
"""The kinds of finding: PyTorch raises in a backward; it refuses a write at once; it says nothing of wrong numbers."""

GIVING = ("numpy", "__array__", "__dlpack__")
"""Methods of a tensor that give its memory to NumPy and its like; a write there is named by the line of this call."""

NEW_DATA = "data ="
"""The operation of `w.data = x`, which gives a tensor other memory."""


@dataclass(frozen=True)
class Site:
    """One line of the user's code, and the operation that ran there."""

    file: str
    line: int
    source: str
    """The line without its indent."""
    operation: str
    """By the name that the user wrote: `opt_d.step()`, `x += y`, `relu`."""
    module: str = ""
    """Class of the outermost running module and the path below it, `D.2`; the class of an optimizer; or ""."""


@dataclass(frozen=True)
class Write:
    """One write in place since a tensor was saved. `version` is the version counter after it."""

    site: Site
    version: int
    elsewhere: bool = False
    """Whether it wrote to another part of the same memory: one version counter counts both."""


@dataclass(frozen=True)
class Overwritten:
    """The tensor that was overwritten, or that may not be written to."""

    name: str | None
    """A parameter's path (`D.2.weight`), a variable of the user's (`x`); None where none was found."""
    shape: tuple[int, ...]
    dtype: str
    version: int = 0
    """When it was saved."""
    note: str = ""
    """What it is of its storage where it is a part of one: `row 1 of h [2, 4]`."""


@dataclass(frozen=True)
class Cure:
    """What to do about it. `works` is None where it was not tried."""

    says: str
    works: bool | None = None

    @property
    def tried(self) -> bool:
        """Whether a real backward was run with it."""
        return self.works is not None


@dataclass(frozen=True)
class Finding:
    """One tensor with its saver, its writers and the cure."""

    kind: str
    """`overwritten`, `refused` or `silent`."""
    tensor: Overwritten
    raised_at: Site | None
    """The line of the backward, or of the refused write; of a silent fault where the overwritten values were used."""
    saved_by: Site | None
    """Who saved it for backward, or took it; of a refusal, what made the write forbidden."""
    overwritten_by: tuple[Write, ...]
    """Every write since, in order."""
    cure: Cure
    words: str = ""
    """PyTorch's own; empty where it says nothing."""
    why: str = ""
    """What is the matter, where the lines alone do not tell it: a graph that is kept over steps."""


@dataclass(frozen=True)
class Unwatched:
    """What ran where nobody could look, with the reason."""

    what: str
    why: str


@dataclass(frozen=True)
class WatchReport:
    """What a watch saw: its findings, and how much it looked at."""

    torch_version: str
    request: Watch | None = None
    """None where it was asked in Python."""
    findings: tuple[Finding, ...] = ()
    backwards: int = 0
    saved: int = 0
    """Tensors that autograd saved."""
    writes: int = 0
    """Writes in place."""
    unwatched: tuple[Unwatched, ...] = ()
    remarks: tuple[str, ...] = field(default=())
    """What is worth a look and no fault."""

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings
