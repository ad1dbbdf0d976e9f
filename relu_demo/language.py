"""The language that the demonstrator speaks: English, or Chinese where `--lang` or the reader's environment says so.

    with speaking("zh"):
        print(_("{n} of {total} numbers became 0", n=3, total=27))

The English text is the key (GNU gettext), and its fields are named. What no catalogue has is shown in English. What a
report holds is a `Sentence`, made by `mark` and `plural`: English for JSON, and for `_` a text to be translated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gettext import NullTranslations

LANGUAGES = ("en", "zh")


class _Spoken:
    catalogue: NullTranslations | None = None


@contextmanager
def speaking(language: str | None = None) -> Iterator[None]:
    """Speak one of LANGUAGES inside the context; None: that of LANGUAGE, LC_ALL, LC_MESSAGES, LANG."""
    from gettext import translation  # a watched program does without

    before = _Spoken.catalogue
    languages = None if language is None else [language]
    _Spoken.catalogue = translation("relu_demo", Path(__file__).parent / "locale", languages, fallback=True)
    try:
        yield
    finally:
        _Spoken.catalogue = before


class Sentence(str):
    """A text in English with its fields filled in, which knows its keys, for one and for many, and the fields."""

    keys: tuple[str, str]
    number: int
    fields: Mapping[str, object]


def mark(text: str, **fields: object) -> Sentence:
    """Return a text that is to be translated when it is shown. Its fields may be such texts themselves."""
    return _sentence((text, ""), 1, fields)


def plural(one: str, many: str, n: int, **fields: object) -> Sentence:
    """Return the form of a text for the number `n`, which is a field too; it is to be translated when it is shown."""
    return _sentence((one, many), n, {"n": n, **fields})


def _sentence(keys: tuple[str, str], number: int, fields: Mapping[str, object]) -> Sentence:
    key = keys[number != 1]
    sentence = Sentence(key.format(**fields) if fields else key)
    sentence.keys, sentence.number, sentence.fields = keys, number, fields
    return sentence


def _(text: str, **fields: object) -> str:
    """Return a text, its fields filled in, in the language that is spoken."""
    if not text:
        return text  # gettext has the catalogue's header under it
    said = text if isinstance(text, Sentence) else mark(text)
    fields = {**said.fields, **fields}
    (one, many), catalogue = said.keys, _Spoken.catalogue
    key = said.keys[said.number != 1]
    if catalogue is not None:
        key = catalogue.ngettext(one, many, said.number) if many else catalogue.gettext(one)
    shown = {name: _(value) if isinstance(value, Sentence) else value for name, value in fields.items()}
    return key.format(**shown) if shown else key


def enumerated(words: Sequence[str]) -> str:
    """Return words as one says them: `a`, `a and b`, `a, b and c`."""
    *others, last = words
    return mark("{words} and {last}", words=listed(others), last=last) if others else last


def listed(words: Sequence[str]) -> str:
    """Return words with commas between them."""
    return reduce(lambda some, last: mark("{words}, {last}", words=some, last=last), words)


def clauses(said: Sequence[str]) -> str:
    """Return clauses as one says them in one sentence."""
    return reduce(lambda some, last: mark("{clauses}; {last}", clauses=some, last=last), said)


def fold(text: str, width: int) -> list[str]:
    """Return a text in lines of at most so many cells, broken between words, and between Chinese characters."""
    from re import findall

    lines = [""]
    for piece in findall(r"\s*(?:[!-~]+|.)[\u3001\u3002\uff01-\uff1b]*", text):
        if cells(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return lines


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes: a Chinese character takes two."""
    if text.isascii():
        return len(text)
    from unicodedata import east_asian_width  # English does without

    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
