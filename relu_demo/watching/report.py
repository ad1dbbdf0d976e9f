"""What a watch found, as plain data without torch: the watched process writes it, and the command reads it."""

from __future__ import annotations

from dataclasses import dataclass

from relu_demo.edits.edit import Cure
from relu_demo.request import Watch

OVERWRITTEN, REFUSED, SILENT = "overwritten", "refused", "silent"
"""The kinds of finding: a backward raises; PyTorch refuses a write; gradients are wrong and PyTorch says nothing."""

GIVING = ("numpy", "__array__", "__dlpack__")
"""Methods of a tensor that give its memory to NumPy and its like; a write there is named by the line of this call."""


@dataclass(frozen=True)
class Site:
    """One line of the user's code, and the operation that ran there."""

    file: str
    """A path, or `Cell 5` of a notebook."""
    line: int
    source: str
    """The line without its indent."""
    operation: str
    """By the name that the user wrote: `opt_d.step()`, `x += y`, `relu`."""
    module: str = ""
    """The innermost running module by the caller's variable, `critic.2`; the class of an optimizer; or ""."""
    called_from: tuple[Site, ...] = ()
    """The lines that called it, the innermost first; empty for the outermost line of the program."""


@dataclass(frozen=True)
class Overwrite:
    """One write in place since a tensor was saved. `version` is the version counter after it."""

    site: Site
    version: int
    elsewhere: bool = False
    """Whether it wrote to another part of the same memory: one version counter counts both."""


@dataclass(frozen=True)
class Overwritten:
    """The tensor that was overwritten, or that may not be written to."""

    name: str | None
    """A parameter's path (`critic.2.weight`), a variable of the user's (`x`); None where none was found."""
    shape: tuple[int, ...]
    dtype: str
    version: int = 0
    """When it was saved."""


@dataclass(frozen=True)
class Finding:
    """One tensor with its saver, its writers and the cure."""

    kind: str
    """`overwritten`, `refused` or `silent`."""
    tensor: Overwritten
    raised_at: Site | None
    """The line of the backward, or of the refused write."""
    saved_by: Site | None
    """Who saved it for backward; of a refusal, what made the write forbidden."""
    overwritten_by: tuple[Overwrite, ...]
    """Every write since, in order."""
    cure: Cure
    words: str = ""
    """PyTorch's own; empty where it says nothing."""
    why: str = ""
    """What is the matter, where the lines alone do not tell it."""
    backward: int = 0
    """How many backward passes had begun by then."""
    processes: int = 1
    """In how many of the program's processes it was found."""

    @property
    def identity(self) -> object:
        """Return by what two findings are the same: the kind, the lines and the tensor's name."""
        sites = self.raised_at, self.saved_by, *(write.site for write in self.overwritten_by[:1])
        return self.kind, self.tensor.name, *((site.file, site.line) if site else None for site in sites)


@dataclass(frozen=True)
class WorthALook:
    """Memory that is written to through one variable and read through another: worth a look, and no finding."""

    written: Site
    read: Site
    name: str
    """The variable that is read."""
    settle: str = ""
    """The command that runs it both ways; empty outside of a network's forward."""


@dataclass(frozen=True)
class Unwatched:
    """What ran where nobody could look, with the reason."""

    what: str
    why: str


@dataclass(frozen=True)
class Missing:
    """A module that an import did not find, which ended a process; `python` is the one that ran."""

    name: str
    python: str


@dataclass(frozen=True)
class WatchReport:
    """What a watch saw: its findings, and how much it looked at."""

    torch_version: str
    """Empty where no process has imported torch."""
    request: Watch | None = None
    """None where it was asked in Python."""
    findings: tuple[Finding, ...] = ()
    worth_a_look: tuple[WorthALook, ...] = ()
    backwards: int = 0
    saved: int = 0
    """Tensors that autograd saved."""
    writes: int = 0
    """Writes in place."""
    unwatched: tuple[Unwatched, ...] = ()
    processes: int = 1
    """The watched processes that computed anything with tensors; all of them where none did."""
    missing: tuple[Missing, ...] = ()
    patch: str = ""
    """All edits as one patch for `patch -p0`."""
    exit_code: int = 0
    """The program's own; of a program that a signal ended 128 and the signal's number."""

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings
