"""relu-demo: what nn.ReLU(inplace=True) does to a tensor, replayed live in the terminal or in a notebook.

import relu_demo

relu_demo.show("compare", seed=7)                # the demonstrator: a report that shows itself
relu_demo.check(model, torch.randn(1, 3, 8, 8))  # your own network: is each inplace=True in it safe?
with relu_demo.watch():                          # your own code: which lines overwrite what a backward needs?
    loss.backward()
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes ten milliseconds to import, in which nobody answers a Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from relu_demo.api import InplaceError as InplaceError
    from relu_demo.api import SilentInplaceWarning as SilentInplaceWarning
    from relu_demo.api import check as check
    from relu_demo.api import show as show
    from relu_demo.api import watch as watch

__version__ = "0.1.0"

__all__ = ["InplaceError", "SilentInplaceWarning", "check", "show", "watch"]


def __getattr__(name: str) -> Any:
    """Import a public function when it is asked for: the command line does without."""
    if name in __all__:
        from relu_demo import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, and what every module has."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
