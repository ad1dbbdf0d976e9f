"""The project's virtual environment: what it must hold, whether it is ready, and how a program starts in it.

A second run passes through this file and nothing else, so it imports little.
"""

import os
import sys

import _lock

PROJECT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
FOLDER = os.path.join(PROJECT, ".venv")
STAMPS = os.path.join(FOLDER, "relu-demo-stamps")
PYTHON = os.path.join(FOLDER, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))

# The layers of the environment, each with the files that say what is in it, in the order of their making.
LAYERS = {
    "packages": ["scripts/requirements.txt", "scripts/constraints.txt"],
    "project": ["pyproject.toml", "relu_demo/__init__.py"],
    "tests": ["scripts/requirements-test.txt"],
}

# What would lead Python or pip to another place than the environment.
MISLEADING = [
    "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__",
    "PIP_PREFIX", "PIP_PYTHON", "PIP_ROOT", "PIP_TARGET", "PIP_USER",
]  # fmt: skip

# Keep the current folder from being imported from; Python 3.10 has only the stronger of the two.
ISOLATED = "-P" if sys.version_info >= (3, 11) else "-I"
STATUS_CONTROL_C_EXIT = 0xC000013A


def stamp_path(layer: str) -> str:
    """Give the path of the file that says what a layer holds; it is written when the layer is complete."""
    return os.path.join(STAMPS, layer)


def stamp_text(layer: str) -> bytes:
    """Give what the stamp of a layer must be: the Python, the place, and the files that define the layer."""
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")
    where = [sys.implementation.cache_tag, getattr(sys, "abiflags", ""), machine, sys.base_prefix, PROJECT]
    parts = [os.fsencode("\n".join(map(str, where)))]
    for name in LAYERS[layer]:
        with open(os.path.join(PROJECT, name), "rb") as file:
            parts.append(file.read())
    return b"\n\n".join(parts)


def is_current(layer: str) -> bool:
    """Tell whether a layer is complete and is what the project's files ask for now."""
    try:
        with open(stamp_path(layer), "rb") as stamp:
            return stamp.read() == stamp_text(layer) and os.path.exists(PYTHON)
    except OSError:
        return False


def clean_environ() -> dict[str, str]:
    """Give this process's environment variables without those that would lead elsewhere."""
    return {name: value for name, value in os.environ.items() if name.upper() not in MISLEADING}


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
    command = [PYTHON, ISOLATED, *arguments]
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
