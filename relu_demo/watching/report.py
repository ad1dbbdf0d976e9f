"""What a watch found, as plain data without torch: the watched process writes it, and the command reads it.

InplaceError is raised in PyTorch's place, and SilentInplaceWarning warns where PyTorch says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from relu_demo.edits.edit import Cure, united
from relu_demo.request import Watch
from relu_demo.sanitizer.place import GIVING

FindingKind = Literal["overwritten", "refused", "silent"]
"""A backward raises; PyTorch refuses a write; gradients are wrong and PyTorch says nothing."""

OVERWRITTEN: Final = "overwritten"
REFUSED: Final = "refused"
SILENT: Final = "silent"

ALIAS_READ, PAST_AUTOGRAD = "alias-read", "data"
"""The pages of `relu-demo explain` on what is worth a look."""
STATISTICS = ("batch_norm", "instance_norm")
"""The functions that write to running statistics in training mode."""
RULES = {
    "carried": "earlier-step",
    "hooked": "saved-tensors-hooks",
    "elsewhere": "shared-version-counter",
    "outside": "forward-hook",
    "step": "step-before-backward",
    **dict.fromkeys(GIVING, "shared-memory"),
    **dict.fromkeys(STATISTICS, "running-statistics"),
    OVERWRITTEN: "saved-tensor",
    "breaks-backward": "saved-tensor",
    SILENT: PAST_AUTOGRAD,
    "changes-result": "eaten-skip",
    "overwrites-input": "input-overwritten",
}
"""The page on a fault, by what is known of it besides its kind, by the operation that writes, and by its kind."""


def rule_of(kind: str, *facts: str) -> str:
    """Return the page of `relu-demo explain` on a fault, by the first of the facts that has one, or by its kind."""
    return next((RULES[fact] for fact in (*facts, kind) if fact in RULES), "")


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
    """One write in place since a tensor was saved."""

    site: Site
    version: int
    """The version counter after it; 0 where nothing counts it."""
    elsewhere: bool
    """Whether it wrote to another part of the same memory: one version counter counts both."""


@dataclass(frozen=True)
class Overwritten:
    """The tensor that was overwritten, or that may not be written to."""

    name: str | None
    """A parameter's path (`critic.2.weight`), a variable of the user's (`x`); None where none was found."""
    shape: tuple[int, ...]
    dtype: str
    version: int
    """The version counter when it was saved."""


@dataclass(frozen=True)
class Saver:
    """Another line that saved what the same writes have overwritten."""

    site: Site
    tensors: tuple[Overwritten, ...]
    """What it saved."""


@dataclass(frozen=True)
class Finding:
    """One fault: its tensors with their saver, their writers and the cure."""

    kind: FindingKind
    """A backward raises; PyTorch refuses the write; PyTorch says nothing, and numbers are wrong."""
    tensors: tuple[Overwritten, ...]
    """Those that one line has saved and the same lines have overwritten."""
    raised_at: Site | None
    """The line of the backward or of the refused write; of a silent fault where the overwritten values are used."""
    saved_by: Site | None
    """Who saved it for backward; of a refusal, what made the write forbidden."""
    overwritten_by: tuple[Overwrite, ...]
    """Every write since, in order."""
    cure: Cure
    """What to do."""
    words: str
    """PyTorch's own; empty where it says nothing."""
    why: str
    """What is the matter, where the lines alone do not tell it."""
    rule: str
    """The page of `relu-demo explain` on it."""
    backwards: int = 0
    """How many backward passes had begun by then."""
    processes: int = 1
    """In how many of the program's processes it was found."""
    also_saved_by: tuple[Saver, ...] = ()
    """Other savers, where one cure does for all."""

    @property
    def tensor(self) -> Overwritten:
        """The first of its tensors."""
        return self.tensors[0]

    @property
    def identity(self) -> object:
        """Return by what two findings are the same: the kind, the lines and the tensor's name."""
        return self.tensor.name, self.lines(1)

    def lines(self, writes: int | None = None, saver: bool = True) -> object:
        """Return the kind with the lines: of the first `writes` or of all, with or without the saver's."""
        ends = tuple(site and (site.file, site.line) for site in (self.raised_at, *[self.saved_by] * saver))
        return self.kind, *ends, *dict.fromkeys((w.site.file, w.site.line) for w in self.overwritten_by[:writes])


class InplaceError(RuntimeError):
    """A write in place that PyTorch refuses, or that a backward found in its way.

    The message begins with PyTorch's own words; `str()` has both lines and the cure below them. `saved`, `overwritten`
    and `cure` are those of the first finding.
    """

    __module__ = "relu_demo"

    def __init__(self, findings: tuple[Finding, ...], text: str) -> None:
        """`findings`: what was found, the one that PyTorch would name first. `text`: how a screen shows them."""
        super().__init__(f"{findings[0].words}\n\n{text}")
        self.findings = findings
        first = findings[0]
        self.saved, self.overwritten, self.cure = first.saved_by, first.overwritten_by, first.cure


class SilentInplaceWarning(UserWarning):
    """Values that a backward needs, or that somebody kept, were overwritten, and PyTorch says nothing of it."""

    __module__ = "relu_demo"


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings, each fault once.

    Those of one saver are one, with the tensors and the edits of all; so are those of one cure, with all the savers.
    """
    found: dict[object, Finding] = {}
    for each in findings:
        one = found.setdefault(each.lines(), each)
        if one is not each:
            tensors = tuple(dict.fromkeys((*one.tensors, *each.tensors)))
            cure = one.cure if one.cure.edits or not each.cure.edits else each.cure
            cure = replace(cure, edits=united((one.cure.edits, each.cure.edits)))
            saver, processes = common(one.saved_by, each.saved_by), max(one.processes, each.processes)
            found[each.lines()] = replace(one, tensors=tensors, saved_by=saver, cure=cure, processes=processes)
    faults: dict[object, Finding] = {}
    for each in found.values():
        fault = each.lines(saver=False), each.cure, each.saved_by is None
        one = faults.setdefault(fault, each)
        if one is not each and each.saved_by is not None:
            faults[fault] = replace(one, also_saved_by=(*one.also_saved_by, Saver(each.saved_by, each.tensors)))
    return tuple(faults.values())


def common(one: Site | None, other: Site | None) -> Site | None:
    """Return the first of two sites of one line, without an operation or a module that the other does not share."""
    if one is None or other is None:
        return one
    operation = one.operation if one.operation == other.operation else ""
    return replace(one, operation=operation, module=one.module if one.module == other.module else "")


@dataclass(frozen=True)
class WorthALook:
    """Memory that is written to through one variable and read through another: worth a look, and no finding."""

    written: Site
    """The line that writes."""
    read: Site
    """The line that reads; its file is empty for what the network returns."""
    name: str
    """The variable that is read."""
    rule: str
    """The page of `relu-demo explain` on it."""
    settle: str = ""
    """The command that runs it both ways; empty outside of a network's forward."""


@dataclass(frozen=True)
class Unwatched:
    """What ran where nobody could look."""

    what: str
    why: str
    """The reason."""


@dataclass(frozen=True)
class Missing:
    """A module that an import did not find, which ended a process."""

    name: str
    python: str
    """The Python that ran."""


@dataclass(frozen=True, kw_only=True)
class WatchReport:
    """What a watch saw: its findings, and how much it looked at."""

    torch_version: str
    """Empty where no process has imported torch."""
    request: Watch | None = None
    """None where it was asked in Python."""
    findings: tuple[Finding, ...]
    """The faults, each once."""
    worth_a_look: tuple[WorthALook, ...]
    """Writes that may be meant: no fault."""
    backwards: int
    """Backward passes that asked for a saved tensor."""
    saved: int
    """Tensors that autograd saved."""
    writes: int
    """Writes in place."""
    unwatched: tuple[Unwatched, ...]
    """What ran where nothing is seen."""
    processes: int = 1
    """The watched processes that computed anything with tensors; all of them where none did."""
    missing: tuple[Missing, ...] = ()
    """Modules that an import did not find, which ended a process."""
    patch: str = ""
    """All edits that may help as one patch for `patch -p0`."""
    exit_code: int = 0
    """The program's own; of a program that a signal ended 128 and the signal's number."""

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings
