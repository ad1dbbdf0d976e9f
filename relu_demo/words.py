"""What an error says, in one line: the rest is for those who build PyTorch."""

from __future__ import annotations

NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc")
"""What PyTorch's allocators say where there is no more: Linux's and macOS's, Windows', a GPU's, and C++'s own."""


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


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's own, or PyTorch's, whose class is not always told apart."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in words_of(error) for words in NO_MEMORY)
