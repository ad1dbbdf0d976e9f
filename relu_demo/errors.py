"""What an error says, in one line: the rest is for those who build PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relu_demo.session.lines import Line

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


class SetupError(Exception):
    """A setup that cannot run here. `option` is the option that asks for it; the message says what to give instead."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


class LoadError(Exception):
    """PyTorch is missing or broken. The message says which, in one line."""


class LineError(Exception):
    """A line of a session raised. `line` is the line, `__cause__` what it raised."""

    def __init__(self, line: Line, cause: Exception) -> None:
        smaller = "; give a smaller shape" if lacks_memory(cause) else ""
        super().__init__(f"PyTorch cannot run '{line.source}': {first_line(cause).rstrip('.')}{smaller}")
        self.line = line
        self.__cause__ = cause


class BadInput(ValueError):  # noqa: N818 - the user's input, not an error of the program
    """What the user gave cannot be checked. The message is one line that says what to give instead."""


class NetworkError(BadInput):
    """The user's own code raised. The message is its last line, with file and line; the cause is the error itself."""
