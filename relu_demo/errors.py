"""What a user is told when something goes wrong: one error with its kinds, and PyTorch's own words in one line."""

from __future__ import annotations

from collections.abc import Iterable

from relu_demo.language import _, mark

CLOSED = mark("the output cannot be written: standard output is closed")
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc")
"""What PyTorch's allocators say where there is no more: Linux's and macOS's, Windows', a GPU's, and C++'s own."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's own words, or the name of its class where it has none."""
    lines = words_of(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def words_of(error: BaseException) -> str:
    """Return an error's own words, or an empty string where its class, which may be anybody's, fails to give them."""
    try:
        return str(error)
    except Exception:
        return ""


def readable(text: str) -> str:
    """Return the text with newlines and control characters escaped: a name may have any."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def with_article(name: str) -> str:
    """Return the name after `a` or `an`."""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is nearest to a wrong one, or an empty string."""
    from difflib import get_close_matches  # --help does without

    return next(iter(get_close_matches(word.lower().replace("_", "-"), known, n=1)), "")


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out: Python's own, or PyTorch's, which is often a RuntimeError."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in words_of(error) for words in NO_MEMORY)


class Error(Exception):
    """What a user is told instead of a report: a message in one line, which says what to give instead.

    The kinds:

        Error
         ├── LoadError             PyTorch is missing or broken
         ├── LineError             a line of a session raised
         └── BadInput              what was given cannot be used; a ValueError too
              ├── SetupError       ... because of the value of one option
              └── NetworkError     ... because the user's own code raised
                   └── InputError  ... on the random input that was made for it

    The attributes are what the command line says besides the message.
    """

    option: str = ""
    """The option whose value cannot be used; empty if the error is not about an option."""
    prefix: str = ""
    """What the command line says before the message."""
    has_traceback: bool = False
    """Whether `__cause__` is an error that the user's own code raised, whose traceback helps."""


class LoadError(Error):
    """PyTorch is missing or broken. The message says which."""


class LineError(Error):
    """A line of a session raised. `source` is the line, `__cause__` what it raised."""

    def __init__(self, source: str, cause: Exception) -> None:
        told = {"line": source, "why": first_line(cause).rstrip(".")}
        if lacks_memory(cause):
            super().__init__(_("PyTorch cannot run '{line}': {why}; give a smaller shape", **told))
        else:
            super().__init__(_("PyTorch cannot run '{line}': {why}", **told))
        self.source = source
        self.__cause__ = cause


class BadInput(Error, ValueError):  # noqa: N818 - the user's input, not an error of the program
    """What the user gave cannot be used."""


class SetupError(BadInput):
    """The value of `option` is impossible, or not available on this machine."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


class NetworkError(BadInput):
    """The user's own code raised. The message is its last line, with file and line; `__cause__` is the error itself."""

    prefix = "an error in your own code: "
    has_traceback = True


class InputError(NetworkError):
    """The network's forward raised on the random input that --shape gave it, as PyTorch does on a wrong shape."""

    option = "--shape"
    prefix = ""
