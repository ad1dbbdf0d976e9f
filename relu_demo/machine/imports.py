"""The user's Python files and modules: how each is found and imported, and which names are near to one that is not."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

MOST_LISTED = 8
"""So many names are all listed."""

NAMED = re.compile(r"(?P<source>.+?)::?(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)(?P<call>\(.*\))?", re.DOTALL)
"""`file.py:name` or `package.module:build(50)`. A name may follow two colons as well, as in pytest."""


def import_file(path: Path) -> ModuleType:
    """Import a file as the module of its name and return the module. The caller puts the file's folder on `sys.path`.

    Raise whatever the file raises. `sys.modules` is then as it was.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, path
    assert spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(path.stem)
    # Its own dataclasses and pickles look for it there.
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if before is None:
            sys.modules.pop(path.stem, None)
        else:
            sys.modules[path.stem] = before
        raise
    return module


def near(name: str, likely: Sequence[str], others: Sequence[str] = (), having: str = "it has") -> str:
    """Return the end of a message: the names nearest to a wrong one, likely ones first, or all of a few."""
    for known in (likely, others):
        lower = {each.lower(): each for each in known}
        if close := difflib.get_close_matches(name.lower(), lower):
            return f"; did you mean {' or '.join(lower[each] for each in close)}?"
    return f"; {having} {', '.join(sorted(likely))}" if 0 < len(likely) <= MOST_LISTED else ""


def names_in(namespace: Any) -> list[str]:
    """Return the public names that a module or class has for others: its own, or all but modules where it has none."""
    found = all_names_in(namespace)
    own = getattr(namespace, "__name__", None)
    likely = [n for n in found if getattr(vars(namespace)[n], "__module__", own) == own]
    return likely or found


def all_names_in(namespace: Any) -> list[str]:
    """Return the public names of a module or class, imported ones too, but for modules."""
    own = getattr(namespace, "__dict__", {})
    return [name for name, value in own.items() if not name.startswith("_") and not isinstance(value, ModuleType)]


def python_files(folder: Path) -> list[str]:
    """Return the names of the Python files in a folder; none where there is no such folder."""
    return [p.name for p in folder.glob("*.py") if p.is_file()] if os.path.isdir(folder) else []


def python_modules(folder: Path) -> list[str]:
    """Return the names of the modules and packages in a folder."""
    return [p.stem for p in folder.glob("*.py")] + [p.parent.name for p in folder.glob("*/__init__.py")]


def missing_file(path: Path) -> str:
    """Return what to say of a file that is not there."""
    return f"there is no file {path}{near(path.name, python_files(path.parent), having='there are')}"
