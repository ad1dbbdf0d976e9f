"""What a target names: a script, a module as `python -m` takes it, or a function that is called without arguments.

    find("train.py")            Script
    find("package.module")      Module
    find("my_file.py:step")     Function

Nothing of the user's code runs here, so that all of it can run under the watch.
"""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from relu_demo.errors import BadInput, first_line
from relu_demo.machine.imports import names_in, near, python_files, python_modules

GIVE = "give train.py, package.module or my_file.py:step"


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
        return _is_python(self.source)

    @property
    def folder(self) -> str:
        """The folder to put first on `sys.path`."""
        return os.path.dirname(os.path.realpath(self.source)) if self.is_file else os.getcwd()


Target = Script | Module | Function


def find(target: str) -> Target:
    """Return what a target names. Raise BadInput for one that cannot be run, without running any of it."""
    if not target or "\0" in target:
        raise BadInput(f"{target!r} names no script; {GIVE}")
    source, colon, name = target.rpartition(":")
    if colon and not os.path.exists(target) and not _has_separator(name):
        return _find_function(target, source.rstrip(":"), name)
    if _is_python(target) or (os.path.exists(target) and not os.path.isdir(target)):
        code = _read(target)
        _check_syntax(code, target)
        return Script(target, code)
    _check_module(target, to_run=True)
    return Module(target)


def _find_function(target: str, source: str, name: str) -> Function:
    if not source or target != f"{source}:{name}" or not all(part.isidentifier() for part in name.split(".")):
        called = name.removesuffix("()")
        as_one = f"{source or 'my_file.py'}:{called if called.isidentifier() else 'step'}"
        raise BadInput(f"{target!r} names no function; give it as {as_one}")
    if _is_python(source):
        _check_syntax(_read(source), source)
    else:
        _check_module(source)
    return Function(source, name)


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


@contextmanager
def first_on_path(folder: str) -> Iterator[None]:
    """Put a folder first on `sys.path` while the block runs, unless this Python keeps such folders away."""
    before = sys.path[:]
    if not keeps_folders_away():
        sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path[:] = before


def keeps_folders_away() -> bool:
    """Return whether this Python puts no folder of the program on `sys.path`: `-P` (from 3.11 on) or `-I`."""
    return bool(getattr(sys.flags, "safe_path", False) or sys.flags.isolated)


def find_spec(name: str) -> ModuleSpec | None:
    """Return where Python would find a module, or None. No package is imported, and no loaded module is asked."""
    spec = None
    folders: list[str] | None = None  # as finders are told "sys.path"
    whole = ""
    for part in name.split("."):
        if spec is not None and folders is None:
            return None  # the one before is a module, no package
        whole = f"{whole}.{part}".lstrip(".")
        spec = _found(whole, folders)
        if spec is None or not (spec.has_location or spec.submodule_search_locations is None):
            # Perhaps a package without __init__.py, for which finders ask the package above, which is not imported.
            inside = [os.path.join(folder, part) for folder in (sys.path if folders is None else folders)]
            inside = [folder for folder in inside if os.path.isdir(folder)]
            if not inside:
                return spec
            spec = ModuleSpec(whole, None, is_package=True)
            spec.submodule_search_locations = inside
        folders = None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
    return spec


def _found(name: str, folders: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        with suppress(Exception):  # a finder may be anybody's
            spec = finder.find_spec(name, folders)
            if spec is not None:
                return spec
    return None


def _check_module(name: str, to_run: bool = False) -> None:
    if not all(name.split(".")) or _has_separator(name):
        raise _no_script(name)
    with first_on_path(os.getcwd()):
        spec = find_spec(name)
        if spec is None:
            raise BadInput(f"there is no module {name!r}{near(name, _modules_beside(name))}")
        if to_run and spec.submodule_search_locations is not None:
            package, spec = spec, find_spec(f"{name}.__main__")
            if spec is None:
                if not package.has_location and os.path.isdir(name):
                    raise _no_script(name)
                known = [f"{name}.{module}" for module in _modules_of(package)]
                raise BadInput(f"{name} is a package without __main__{near('', known)}")
    if spec.origin is not None and _is_python(spec.origin):
        _check_syntax(_read(spec.origin), spec.origin)
    elif to_run:
        raise BadInput(f"{name} is no Python source, which the watch needs; {GIVE}")


def _modules_beside(name: str) -> list[str]:
    """Return the names of the modules of the same package; of a name without dots, in the working directory."""
    package, _, _ = name.rpartition(".")
    if not package:
        return python_modules(Path())
    spec = find_spec(package)
    return [] if spec is None else [f"{package}.{module}" for module in _modules_of(spec)]


def _modules_of(package: ModuleSpec) -> list[str]:
    folders = package.submodule_search_locations or []
    return [name for folder in folders for name in python_modules(Path(folder)) if not name.startswith("_")]


def _no_script(name: str) -> BadInput:
    """Return what to say of a path that is no file."""
    path = Path(name)
    if not path.is_dir():
        return BadInput(f"there is no file {path}{near(path.name, python_files(path.parent), having='there are')}")
    if (path / "__main__.py").is_file():
        return BadInput(f"{path} is a folder; give {path / '__main__.py'}")
    return BadInput(f"{path} is a folder; {GIVE}")


def _read(path: str) -> bytes:
    if os.path.isdir(path) or not os.path.exists(path):
        raise _no_script(path)
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); {GIVE}") from error


def _check_syntax(code: bytes, path: str) -> None:
    """Raise BadInput for a syntax error. Python warns again, and as it does, when the code is run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise BadInput(f"a syntax error in {path}:{error.lineno or 1} ({error.msg}); correct it first") from error
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:  # null bytes, or nested too deeply
        raise BadInput(f"Python cannot compile {path} ({first_line(error)}); {GIVE}") from error


def _is_python(path: str) -> bool:
    return path.endswith((".py", ".pyw"))


def _has_separator(name: str) -> bool:
    return os.sep in name or (os.altsep is not None and os.altsep in name)
