"""Puts the real output of every command into the README: python scripts/readme.py.

A block that begins with three backticks and `console` holds commands behind `$ ` with their output.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent
README = PROJECT / "README.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A command of the README with the output that stands there."""

    command: str
    output: str

    def run(self, python: Sequence[str] = (sys.executable,)) -> str:
        """The command's real output, stdout and stderr as on a terminal of 80 columns.

        `python` is what `python` is in it, and what runs relu-demo.
        """
        with tempfile.TemporaryDirectory() as folder:
            for name, starts in (("relu-demo", "-m relu_demo"), ("python", "")):
                shim = Path(folder, name)
                shim.write_text(f'#!/bin/sh\nexec {shlex.join(python)} {starts} "$@"\n')
                shim.chmod(0o755)
            environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
            environment |= {"PYTHONPATH": str(PROJECT), "COLUMNS": "80", "PYTHONIOENCODING": "utf-8", "LANGUAGE": "en"}
            done = subprocess.run(
                ["bash", "-c", self.command],
                cwd=PROJECT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
            )
        return done.stdout


def examples(text: str) -> Iterator[Example]:
    """Every command in the console blocks of a README's text."""
    for block in BLOCK.finditer(text):
        for part in block[1].split("$ ")[1:]:
            command, _, output = part.partition("\n")
            yield Example(command, output)


def refreshed(text: str) -> str:
    """The README's text with the real output below each command."""

    def fill(block: re.Match[str]) -> str:
        filled = "".join(f"$ {example.command}\n{example.run()}" for example in examples(block[0]))
        return f"```console\n{filled}```"

    return BLOCK.sub(fill, text)


if __name__ == "__main__":
    from _torch import need_torch

    need_torch()
    README.write_text(refreshed(README.read_text(encoding="utf-8")), encoding="utf-8")
