"""What can be wrong with a network that is to be checked."""

from __future__ import annotations


class BadInput(ValueError):  # noqa: N818 - the user's input, not an error of the program
    """What the user gave cannot be checked. The message is one line that says what to give instead."""


class NetworkError(BadInput):
    """The user's own code raised. The message is its last line, with file and line; the cause is the error itself."""
