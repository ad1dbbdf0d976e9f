"""What an error says, in one line: the rest is for those who build PyTorch."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """The first line of the error's own words, or its class where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
