"""
The language that the demonstrator speaks: English, or Chinese where `--lang` or the reader's environment says so.

    speak("zh")
    print(_("o1 before"))
    print(plural("{n} claim holds", "{n} claims hold", n).format(n=n))

The English text is the key (GNU gettext): what no catalogue has is shown in English. Numbers are named fields, filled
in after the translation. A text that stands at the top of a module is marked with `mark`, and translated when shown.
"""

from __future__ import annotations

import gettext
from pathlib import Path

LANGUAGES = ("en", "zh")
_CATALOGUES = Path(__file__).parent / "locale"


class _Spoken:
    catalogue = gettext.NullTranslations()


def speak(language: str | None = None) -> None:
    """Speak one of LANGUAGES from now on; without one that of LC_ALL, LC_MESSAGES or LANG, if there is a catalogue."""
    languages = None if language is None else [language]
    _Spoken.catalogue = gettext.translation("relu_demo", _CATALOGUES, languages, fallback=True)


def _(text: str) -> str:
    """Return a text in the language that is spoken."""
    return _Spoken.catalogue.gettext(text)


def plural(one: str, many: str, number: int) -> str:
    """Return the form of a text for a number, in the language that is spoken; its fields are not filled in."""
    return _Spoken.catalogue.ngettext(one, many, number)


def mark(text: str) -> str:
    """Return the text as it is: it is to be translated when it is shown."""
    return text
