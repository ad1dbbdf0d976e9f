"""The cures as one patch, `relu-demo watch --diff train.py | patch -p0`. Imports no rich."""

from __future__ import annotations

from typing import TextIO

from relu_demo.network.report import CheckReport
from relu_demo.watching.report import WatchReport


def write_patch(report: CheckReport | WatchReport, out: TextIO) -> None:
    """Write the patch, with the bytes of the files; nothing where no cure is an edit."""
    binary = getattr(out, "buffer", None)
    if binary is None:
        out.write(report.patch)
    else:
        out.flush()
        binary.write(report.patch.encode("utf-8", "surrogateescape"))
