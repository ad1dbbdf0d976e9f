"""The report of `relu-demo explain` without a name: the pages that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from relu_demo.request import Rules
from relu_demo.session.faults import PAGES, FaultPage


@dataclass(frozen=True)
class RulesReport:
    """The faults that `watch` and `check` can name, each with a page of its own."""

    torch_version: ClassVar[str] = ""
    ok: ClassVar[bool] = True
    request: Rules
    """What was asked for."""
    rules: tuple[FaultPage, ...] = PAGES
    """Every page, in the order of the list."""
