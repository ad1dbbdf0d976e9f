"""The cures of a check as one patch, `relu-demo check --diff net.py:Net | patch -p0`. Imports no rich."""

from __future__ import annotations

from typing import TextIO

from relu_demo.network.report import CheckReport


def show(report: CheckReport, out: TextIO) -> None:
    """Write the patch, with the bytes of the files; nothing where no cure is an edit."""
    binary = getattr(out, "buffer", None)
    if binary is None:
        out.write(report.patch)
    else:
        out.flush()
        binary.write(report.patch.encode("utf-8", "surrogateescape"))
