"""The project's virtual environment: where it is, what it must hold, and whether it holds that."""

import os
import sys

PROJECT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
FOLDER = os.path.join(PROJECT, ".venv")
STAMPS = os.path.join(FOLDER, "relu-demo-stamps")
PYTHON = os.path.join(FOLDER, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))

# The layers of the environment, each with the files that say what is in it, in the order of their making.
LAYERS = {
    "packages": ["scripts/requirements.txt", "scripts/requirements-torch.txt", "scripts/constraints.txt"],
    "project": ["pyproject.toml", "relu_demo/__init__.py", "relu_demo/locale/zh/LC_MESSAGES/relu_demo.po"],
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


def this_python() -> str:
    """Give what tells this Python from another: its version, its kind, and where it is."""
    return "\n".join(map(str, [sys.implementation.cache_tag, getattr(sys, "abiflags", ""), sys.base_prefix]))


def maker() -> str:
    """Give what `this_python` was for the Python that made the environment; empty where there is none."""
    try:
        with open(stamp_path("python"), encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def missing() -> "list[str]":
    """Give what was installed in the environment and is no longer there."""
    try:
        with open(stamp_path("contents"), encoding="utf-8", errors="surrogateescape") as file:
            return [path for path in file.read().splitlines() if not os.path.lexists(os.path.join(FOLDER, path))]
    except OSError:
        return []


def stamp_text(layer: str) -> bytes:
    """Give what the stamp of a layer must be: the place, and the files that define the layer."""
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")
    parts = [os.fsencode("\n".join([machine, PROJECT]))]
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
