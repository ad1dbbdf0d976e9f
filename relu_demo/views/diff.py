"""The cures of a watch as one patch, `relu-demo watch --diff train.py | patch -p0`. Imports no rich."""

from __future__ import annotations

from typing import TextIO

from relu_demo.watching.report import WatchReport


def show(report: WatchReport, out: TextIO) -> None:
    """Write the patch; nothing where no cure is an edit."""
    out.write(report.patch)
