"""What a watch raises in PyTorch's place, and what it warns of where PyTorch says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relu_demo.edits.edit import Cure
    from relu_demo.watching.report import Finding, Overwrite, Site


class InplaceError(RuntimeError):
    """
    A write in place that PyTorch refuses, or that a backward found in its way.

    The message begins with PyTorch's own words; `str()` has both lines and the cure below them.
    """

    __module__ = "relu_demo"

    def __init__(self, findings: tuple[Finding, ...], text: str) -> None:
        """`findings`: what was found, the one that PyTorch would name first. `text`: how a screen shows them."""
        super().__init__(f"{findings[0].words}\n\n{text}")
        self.findings = findings

    @property
    def saved(self) -> Site | None:
        """Return who saved the first tensor for backward, or what made the write forbidden."""
        return self.findings[0].saved_by

    @property
    def overwritten(self) -> tuple[Overwrite, ...]:
        """Return every write to the first tensor since."""
        return self.findings[0].overwritten_by

    @property
    def cure(self) -> Cure:
        """Return what to do about the first."""
        return self.findings[0].cure


class SilentInplaceWarning(UserWarning):
    """Values that a backward needs, or that somebody kept, were overwritten, and PyTorch says nothing of it."""

    __module__ = "relu_demo"
