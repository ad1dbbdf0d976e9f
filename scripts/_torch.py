"""Sees to it that a script has PyTorch: starts it again in the project's environment where this Python has none."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from _start import start


def need_torch() -> None:
    """Goes on where PyTorch can be imported. Elsewhere the environment's Python takes over for good."""
    if find_spec("torch") is None:
        start(["packages", "project"], sys.argv)
