"""The cures as one patch, `relu-demo watch --diff train.py | patch -p0`. Imports no rich."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO

from relu_demo.network.report import CheckReport
from relu_demo.watching.report import WatchReport


def write_patch(report: CheckReport | WatchReport, out: TextIO) -> None:
    """Write the patch, with the bytes of the files. Where a fault has no cure that is an edit, say so on stderr."""
    has_fault = report.has_fault if isinstance(report, CheckReport) else not report.ok
    if has_fault and not report.patch and sys.stderr is not None:
        with suppress(OSError, ValueError):  # stderr is closed: the exit code says enough
            print("relu-demo: no cure is an edit; the report without --diff says what to do", file=sys.stderr)
    binary = getattr(out, "buffer", None)
    if binary is None:
        out.write(report.patch)
    else:
        out.flush()
        binary.write(report.patch.encode("utf-8", "surrogateescape"))
