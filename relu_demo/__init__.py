"""relu-demo: what nn.ReLU(inplace=True) does to a tensor, replayed live in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relu_demo.api import check as check

__version__ = "0.1.0"

PUBLIC = ("check",)
"""What `relu_demo.api` offers here."""


def __getattr__(name: str) -> Any:
    """Import a public function when it is asked for: it needs torch, and the command line often does without."""
    if name in PUBLIC:
        from relu_demo import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
