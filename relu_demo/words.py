"""What an error says, in one line: the rest is for those who build PyTorch."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """The first line of the error's own words, or its class where it has none."""
    lines = words_of(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def words_of(error: BaseException) -> str:
    """The error's own words; none where it fails to tell them, for its class may be anybody's."""
    try:
        return str(error)
    except Exception:
        return ""
