"""What the program and the user's script each have of their own in one interpreter, and how to change over.

Both have a `__main__`, and each may have its own module of one name: the script's neighbour `rich.py`, and rich.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from types import ModuleType
from typing import Any

from relu_demo.machine.imports import find_spec

LISTS = ("argv", "orig_argv", "path", "meta_path", "path_hooks")
"""Lists of `sys` of which the script gets its own."""
VALUES = ("stdin", "stdout", "stderr", "excepthook", "unraisablehook", "displayhook")
"""Other attributes of `sys` that a script may set."""
LOADED_FIRST = {
    "__main__",
    *("_collections_abc", "_sitebuiltins", "abc", "codecs", "encodings", "genericpath", "io", "ntpath", "os"),
    *("posixpath", "site", "stat"),
}
"""Modules that Python has loaded before it looks into the script's folder."""


@dataclass(frozen=True)
class World:
    """A state of the interpreter: the loaded modules, attributes of `sys`, and the working directory."""

    modules: dict[str, ModuleType]
    attributes: dict[str, Any]
    folder: str | None
    """None where it was deleted."""
    trace: Any
    profile: Any

    @staticmethod
    def now() -> World:
        """Return the present one."""
        folder = None
        with suppress(OSError):
            folder = os.getcwd()
        # A script may have deleted any of them.
        attributes = {name: getattr(sys, name) for name in LISTS + VALUES if hasattr(sys, name)}
        return World(dict(sys.modules), attributes, folder, sys.gettrace(), sys.getprofile())

    @staticmethod
    def give_own_lists() -> None:
        """Give the script its own lists of `sys`, to change as it likes."""
        for name in LISTS:
            setattr(sys, name, list(getattr(sys, name)))

    def restore(self) -> Callable[[], None]:
        """
        Put this world, which is the program's, in the place of the script's, and silence warnings.

        Return the function that puts the script's back. Modules of the same file are common to both.
        """
        theirs = World.now()
        # First of all, or the script's own trace function sees what follows.
        sys.settrace(None)
        sys.setprofile(None)
        stack = ExitStack()
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # the script's filter may make them errors
        self.put_attributes()
        apart = self._apart(theirs)
        set_modules(apart, self.modules)
        sys.settrace(self.trace)
        sys.setprofile(self.profile)

        def undo() -> None:
            set_modules(apart, theirs.modules)
            stack.close()
            theirs.put_attributes()
            sys.settrace(theirs.trace)
            sys.setprofile(theirs.profile)

        return undo

    def put_attributes(self) -> None:
        """Put the attributes of `sys` and the working directory of this world back."""
        for name in LISTS + VALUES:
            if name in self.attributes:
                setattr(sys, name, self.attributes[name])
            elif hasattr(sys, name):
                delattr(sys, name)
        if self.folder is not None:
            with suppress(OSError):
                os.chdir(self.folder)

    def _apart(self, theirs: World) -> set[str]:
        """Return the top-level names under which the script has loaded what an import here would not give."""
        changed = {name for name, module in self.modules.items() if theirs.modules.get(name) is not module}
        apart = {name.partition(".")[0] for name in changed}
        new = {name for name in theirs.modules if "." not in name} - self.modules.keys()
        return apart | {name for name in new if not _same_file(theirs.modules[name], name)}


def set_modules(names: Collection[str], modules: Mapping[str, ModuleType]) -> None:
    """Have these top-level names, and all below them, loaded in `sys.modules` as they are in `modules`.

    A name keeps its place, in the order of which Python takes modules apart at its end.
    """
    new = {name: module for name, module in modules.items() if name.partition(".")[0] in names}
    for name in [name for name in sys.modules if name.partition(".")[0] in names and name not in new]:
        del sys.modules[name]
    sys.modules.update(new)


def shadowed(folder: str) -> set[str]:
    """Return the top-level names of loaded modules that a script in `folder` imports from there instead."""
    try:
        here = {entry.partition(".")[0] for entry in os.listdir(folder or os.curdir)}
    except OSError:
        return set()
    names = set()
    for name in here & sys.modules.keys() - LOADED_FIRST:
        if BuiltinImporter.find_spec(name) or FrozenImporter.find_spec(name):
            continue  # found before any folder is looked into
        spec = PathFinder.find_spec(name, [folder])
        # A folder without __init__.py comes after all modules.
        if spec is not None and spec.has_location and not _is_file_of(sys.modules[name], spec.origin):
            names.add(name)
    return names


def _same_file(module: ModuleType, name: str) -> bool:
    """Return whether an import of `name` would load the file that `module` has, or nothing at all."""
    spec = find_spec(name)
    return spec is None or _is_file_of(module, spec.origin)


def _is_file_of(module: ModuleType, origin: str | None) -> bool:
    own = getattr(getattr(module, "__spec__", None), "origin", None) or getattr(module, "__file__", None)
    return own == origin or (
        own is not None and origin is not None and os.path.realpath(own) == os.path.realpath(origin)
    )
