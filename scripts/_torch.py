"""Sees to it that a script has PyTorch: starts it again in the project's environment where this Python has none."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import _python  # noqa: F401 - ends here where Python is too old
from _environment import FOLDER, REMEDY, start


def need_torch() -> None:
    """Goes on where PyTorch can be imported. Elsewhere the environment's Python takes over for good."""
    if find_spec("torch") is not None:
        return
    if sys.prefix == FOLDER:
        sys.exit(f"relu-demo: PyTorch is gone from the environment; {REMEDY}")
    start(["packages", "project"], sys.argv)
