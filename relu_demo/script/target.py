"""What is run: a script, a module as `python -m` takes it, or a function that is called without arguments."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from relu_demo.errors import BadInput
from relu_demo.machine.imports import names_in, near


@dataclass(frozen=True)
class Script:
    """A file, run as `python FILE` runs it."""

    path: str
    """As the user gave it."""
    code: bytes = field(repr=False)
    """Its text, not decoded: a pipe can be read only once."""

    @property
    def folder(self) -> str:
        """The folder that Python puts first on `sys.path`."""
        return os.path.dirname(os.path.realpath(self.path))


@dataclass(frozen=True)
class Module:
    """A module, or a package with `__main__`, run as `python -m NAME` runs it."""

    name: str

    @property
    def folder(self) -> str:
        """The folder that Python puts first on `sys.path`."""
        return os.getcwd()


@dataclass(frozen=True)
class Function:
    """A function of a file or module, which is imported first."""

    source: str
    """A path that ends in `.py`, or the name of a module."""
    name: str
    """With dots where it is an attribute of a class."""

    @property
    def is_file(self) -> bool:
        """Whether `source` is a path."""
        return self.source.endswith((".py", ".pyw"))

    @property
    def folder(self) -> str:
        """The folder to put first on `sys.path`."""
        return os.path.dirname(os.path.realpath(self.source)) if self.is_file else os.getcwd()


Target = Script | Module | Function


def function_in(namespace: ModuleType, target: Function) -> Callable[[], object]:
    """Return the function that a target names in its module. Raise BadInput where it takes arguments or is none.

    Reading an attribute is code of the user's: what it raises besides AttributeError comes through.
    """
    value: Any = namespace
    for part in target.name.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            raise BadInput(f"{target.source} has no {target.name!r}{near(part, names_in(value))}") from None
    if not callable(value):
        raise BadInput(f"{target.name} in {target.source} is no function but {type(value).__name__}")
    try:
        inspect.signature(value).bind()
    except TypeError as error:
        raise BadInput(
            f"{target.name} cannot be called without arguments ({error}); give a function that calls it"
        ) from None
    except ValueError:
        pass  # a callable that does not tell its signature
    if inspect.iscoroutinefunction(value) or inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
        raise BadInput(
            f"a call of {target.name} runs nothing yet, it is async or a generator; give a function that runs it"
        )
    result: Callable[[], object] = value
    return result


def keeps_folders_away() -> bool:
    """Return whether this Python puts no folder of the program on `sys.path`: `-P` (from 3.11 on) or `-I`."""
    return bool(getattr(sys.flags, "safe_path", False) or sys.flags.isolated)
