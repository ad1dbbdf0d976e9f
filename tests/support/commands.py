"""The command: how a process of it is started, what a run of it gives, and what holds of its output."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "relu_demo"]


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


def command_environment(**more: str) -> dict[str, str]:
    """This process's environment without what steers a terminal, with relu_demo to be found, and with `more`."""
    steering = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "PYTHONIOENCODING", "LC_ALL", "LANG"}
    kept = {name: value for name, value in os.environ.items() if name not in steering}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def without_addresses(text: str) -> str:
    """The text with every id and every address replaced: they are the only thing that a seed does not fix.

    In decimal they are whole numbers of seven digits or more: a Python that is not position-independent has its heap
    from 4 MiB on. The digits behind a decimal point stay, for they are a value's.
    """
    return re.sub(r"(?<![\w.])(?:0x[0-9a-f]+|\d{7,})(?!\w|\.\d)", "ADDRESS", text)


def held(code: int, out: str, err: str) -> None:
    """What holds of every refusal."""
    assert code == 2
    assert out == ""
    assert err.startswith("relu-demo: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def schema() -> Any:
    """What every document of `--json` is held against."""
    return json.loads(resources.files("relu_demo").joinpath("schema.json").read_text(encoding="utf-8"))
