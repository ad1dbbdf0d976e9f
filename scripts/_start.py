"""Starting a program in the project's virtual environment, which is made first where it is not there.

When it is there, nothing but this file and `_environment` is read before the program starts, so they import little.
"""

import os
import sys

import _lock
from _environment import FOLDER, PYTHON, clean_environ, is_current, missing

REMEDY = "remove the folder " + FOLDER + ", and run this again: that makes it anew"
STATUS_CONTROL_C_EXIT = 0xC000013A


def start(layers: list[str], arguments: list[str]) -> None:
    """Make what is missing, then run the environment's Python with these arguments in place of this process.

    The exit code, or the signal that ends the program, is the caller's to see. What goes wrong before that is
    one line on stderr and exit code 1, or 130 on Ctrl-C.
    """
    try:
        lock = _lock.open_lock(FOLDER + ".lock")
    except OSError as error:
        if not all(map(is_current, layers)):
            sys.exit(f"relu-demo: the virtual environment cannot be made: {error}")
    else:
        while not (_lock.try_to_use(lock) and all(map(is_current, layers))):
            from _install import install

            install(layers, lock)
        if os.name != "nt":
            os.set_inheritable(lock, True)  # the program holds the lock for as long as it runs
    if gone := missing():
        sys.exit(f"relu-demo: the environment is damaged, it lacks {gone[0]}; {REMEDY}")
    command = [PYTHON, "-P", *arguments]  # no import from the current folder
    if os.name == "nt":
        sys.exit(_run_and_wait(command))
    os.execve(PYTHON, command, clean_environ())


def _run_and_wait(command: list[str]) -> int:
    """Run a command to its end and give its exit code; Ctrl-C is left to the command, which gets it too."""
    import subprocess

    with subprocess.Popen(command, env=clean_environ()) as program:
        while True:
            try:
                code = program.wait()
            except KeyboardInterrupt:
                continue
            return 130 if code == STATUS_CONTROL_C_EXIT else code
