"""Makes the README's pictures: python scripts/pictures.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).parent.parent
FOLDER = PROJECT / ".pictures"

PICTURES = {
    "lesson.svg": "--article --seed 7 --step",
}
"""What each picture shows. The article's numbers are the same with every PyTorch and on every machine."""


def make(name: str, folder: Path, python: Sequence[str] = (sys.executable,)) -> Path:
    """Makes the picture of that name, a key of PICTURES, in a folder, with that Python. Gives its path."""
    picture = folder / name
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    subprocess.run(
        [*python, "-m", "relu_demo", *PICTURES[name].split(), "--save", str(picture)],
        env={**kept, "PYTHONPATH": str(PROJECT), "COLUMNS": "80"},
        check=True,
    )
    return picture


if __name__ == "__main__":
    from _torch import need_torch

    need_torch()
    FOLDER.mkdir(exist_ok=True)
    for name in PICTURES:
        print(make(name, FOLDER))
