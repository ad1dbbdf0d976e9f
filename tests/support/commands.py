"""The command: how a process of it starts, what a run of it gives, and what holds of its output."""

from __future__ import annotations

import doctest
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from relu_demo.views.json import schema as made_schema
from support.processes import PYTHON

COMMAND = [*PYTHON, "-m", "relu_demo"]


@dataclass(frozen=True)
class Result:
    """What a run of the command gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, read as strict JSON."""
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


Demo = Callable[..., Result]


def without_addresses(text: str) -> str:
    """The text with every id and every address replaced: they are the only thing that a seed does not fix.

    In decimal they are whole numbers of seven digits or more: a Python that is not position-independent has its heap
    from 4 MiB on. The digits behind a decimal point stay, for they are a value's. Behind ".." stands the end of one.
    """
    text = re.sub(r"(?<=(?:tensor|torage) \.\.)[0-9a-f]{4}", "END", text)
    return re.sub(r"(?<![\w.])(?:0x[0-9a-f]+|\d{7,})(?!\w|\.\d)", "ADDRESS", text)


def held(code: int, out: str, err: str) -> None:
    """What holds of every refusal."""
    assert code == 2
    assert out == ""
    assert err.startswith("relu-demo: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err


@cache
def schema() -> Any:
    """What every document of `--json` is held against."""
    return json.loads(json.dumps(made_schema()))


def doctest_of(transcript: str) -> str:
    """What doctest says of a transcript: nothing where all is so."""
    said: list[str] = []
    test = doctest.DocTestParser().get_doctest(transcript, {}, "session", None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert done.attempted > 1
    return "".join(said)
