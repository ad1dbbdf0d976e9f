"""relu-demo: what nn.ReLU(inplace=True) does to a tensor, replayed live in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relu_demo.network.check import check as check

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`relu_demo.check`, imported when it is asked for: it needs torch, and the command line often does without."""
    if name == "check":
        from relu_demo.network.check import check

        return check
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
