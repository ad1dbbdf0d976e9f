"""Two measurements held against each other, with the most that the first may be of the second."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def within(
    name: str, label: str, ours: Sequence[float], base: Sequence[float], most: float, unit: str, to: str = ""
) -> bool:
    """Prints the ratio of the medians, measured in turns, and tells whether it is small enough."""
    mine, theirs = statistics.median(ours), statistics.median(base)
    ratio = mine / theirs
    digits = 3 if unit == "s" else 0
    base_name = f"of {to} " if to else ""
    print(
        f"{name:34} {label:12} {mine:8.{digits}f} {unit:3} / {theirs:8.{digits}f} {unit:3} {base_name}"
        f"= {ratio:5.2f}  at most {most:.2f}  {'ok' if ratio <= most else 'TOO MUCH'}",
        flush=True,
    )
    return ratio <= most
