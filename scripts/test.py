"""Runs the tests in a virtual environment, which the first run makes: python scripts/test.py -x."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import _python  # noqa: F401 - ends here where Python is too old
from _environment import PROJECT, start

if __name__ == "__main__":
    os.chdir(PROJECT)
    start(["packages", "project", "tests"], ["-m", "pytest"] + sys.argv[1:])  # noqa: RUF005 - must parse anywhere
