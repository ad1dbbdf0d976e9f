"""The project's virtual environment: where it is, what it must hold, and whether it holds that."""

import os
import sys

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
