"""The other Pythons of this machine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


def other_pythons() -> Iterator[str]:
    """Give the Pythons of other versions that this machine has: those on the path, and pyenv's."""
    names = ["python2.7", *(f"python3.{minor}" for minor in range(6, 20))]
    folders = [str(path) for path in Path.home().glob(".pyenv/versions/*/bin")]
    for name in names:
        found = shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))
        if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            yield found


def version_of(python: str) -> tuple[int, int]:
    code = "import sys; sys.stdout.write('%d %d' % sys.version_info[:2])"
    major, minor = subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.split()
    return int(major), int(minor)
