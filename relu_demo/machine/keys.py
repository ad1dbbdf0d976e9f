"""The keys of a keyboard or a clicker: what a terminal sends for each, and what was typed taken apart into keys."""

from __future__ import annotations

import re
from collections.abc import Mapping

KEYS: Mapping[str, tuple[str, ...]] = {
    "Right": ("\x1b[C", "\x1bOC", "\x1bOv", "\xe0M", "\0M"),
    "Left": ("\x1b[D", "\x1bOD", "\x1bOt", "\xe0K", "\0K"),
    "Down": ("\x1b[B", "\x1bOB", "\x1bOr", "\xe0P", "\0P"),
    "Up": ("\x1b[A", "\x1bOA", "\x1bOx", "\xe0H", "\0H"),
    "PageDown": ("\x1b[6~", "\x1bOs", "\xe0Q", "\0Q"),
    "PageUp": ("\x1b[5~", "\x1bOy", "\xe0I", "\0I"),
    "Enter": ("\r", "\n", "\x1bOM"),
    "Space": (" ", "\x1bO "),
    "Ctrl-C": ("\x03",),
    "Ctrl-D": ("\x04",),
}
"""What is sent for each key that is no letter or sign.

First what starts with ESC [ (CSI) and with ESC O (SS3), the second in application mode and for the same key of the
number pad (xterm, "Control Sequences", PC-style and VT220-style function keys); then the two characters that Windows
gives (Microsoft C runtime, `_getwch`), after 0xE0, and after 0 for the number pad.
"""

KEY_NAMES: Mapping[str, str] = {sent: name for name, sequences in KEYS.items() for sent in sequences}
"""The name of each key by what is sent for it."""

START = r"\x1b(?:\[\[?[0-?]*[ -/]*|O)?"
"""A sequence that has begun: ESC, what makes it CSI or SS3 if that has come, and parameters."""

ONE = re.compile(r"\x1b\[\[?[0-?]*[ -/]*[@-~]|\x1bO[ -~]|[\0\xe0].|.", re.DOTALL)
"""What is sent for one key, known or not (ECMA-48, section 5.4; a second `[` is the Linux console's)."""

BEGUN = re.compile(START + r"\Z")
"""A sequence at the end of what was read, whose other characters may come with what is read next."""


def keys(typed: str) -> tuple[list[str], str]:
    """Return the keys in what was read from a terminal, and a sequence at its end that is not complete.

    A key is its name in KEYS, or the characters that were sent for it.
    """
    begun = BEGUN.search(typed)
    rest = begun.group() if begun else ""
    complete = typed[: len(typed) - len(rest)]
    return [KEY_NAMES.get(sent, sent) for sent in ONE.findall(complete)], rest
