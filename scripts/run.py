"""Runs relu-demo in its virtual environment, which the first run makes: python scripts/run.py --compare."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import _python  # noqa: F401 - ends here where Python is too old
from _start import start

if __name__ == "__main__":
    start(["packages", "project"], ["-m", "relu_demo"] + sys.argv[1:])  # noqa: RUF005 - must parse anywhere
