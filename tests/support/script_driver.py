"""A program that runs a target and watches nothing: `python script_driver.py TARGET ARGUMENTS`."""

import multiprocessing  # noqa: F401 - as torch does, which every watch needs
import os
import sys
from contextlib import nullcontext

from relu_demo.script.run import end, run
from relu_demo.script.target import Function, Module, Script, Target

from relu_demo.errors import BadInput


def find(target: str) -> Target:
    """The script, module or function of that name."""
    if os.path.exists(target):
        with open(target, "rb") as file:
            return Script(target, file.read())
    source, colon, name = target.rpartition(":")
    return Function(source, name) if colon else Module(target)


if __name__ == "__main__":
    try:
        ended = run(find(sys.argv[1]), sys.argv[2:], nullcontext())
    except BadInput as error:
        sys.exit(f"driver: {error}")
    end(ended, ended.code)
