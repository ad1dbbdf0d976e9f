"""The network to check, loaded by its name (`file.py:name` or `package.module:name`), and its errors in one line."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from relu_demo.errors import BadInput, NetworkError, with_article, words_of
from relu_demo.machine.imports import all_names_in, import_file, names_in, near, python_files, python_modules
from relu_demo.sanitizer.frames import is_users

ALIKE = 0.8
"""How alike two names are, from 0 to 1, where one may be a slip for the other though nobody's own module has it."""


def load(target: str) -> nn.Module:
    """Return the network that `target` names: a module, or what a class or function returns without arguments.

    The name may follow two colons as well, as in pytest. Raise BadInput if there is nothing of that name or it builds
    no module, NetworkError if the user's code raises while it is imported or called.
    """
    source, colon, name = target.rpartition(":")
    source = source.removesuffix(":")  # file.py::name, as pytest has it
    if not colon or not source or not name or name.endswith(".py"):
        raise BadInput(f"{target!r} names no network; give file.py:name or package.module:name")
    namespace = _import_file(Path(source)) if source.endswith(".py") else _import_module(source)
    value: Any = namespace
    for part in name.split("."):
        try:
            value = getattr(value, part)
        except KeyboardInterrupt:
            raise
        except AttributeError as error:
            raise BadInput(f"{source} has no {name!r}{near(part, names_in(value), all_names_in(value))}") from error
        except BaseException as error:  # raised by a property of the user's
            raise NetworkError(said_by(error, f"reading {name}")) from error
    if not isinstance(value, nn.Module):
        value = _build(value, name)
    if not isinstance(value, nn.Module):
        raise BadInput(f"calling {name} in {source} returned {with_article(type(value).__name__)}, not an nn.Module")
    return value


def _import_file(path: Path) -> ModuleType:
    if path.is_dir():
        raise BadInput(f"{path} is a folder; give file.py:name or package.module:name")
    if not path.is_file():
        raise BadInput(f"there is no file {path}{near(path.name, python_files(path.parent), having='there are')}")
    sys.path.insert(0, str(path.resolve().parent))  # the file may import its neighbours
    try:
        return import_file(path)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        hint = "; give it as package.module:name" if "relative import" in words_of(error) else ""
        raise NetworkError(said_by(error, f"importing {path}") + hint) from error


def _import_module(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (name == missing or name.startswith(f"{missing}.")):
            raise BadInput(_not_found(name, missing, Path(here))) from error
        raise NetworkError(said_by(error, f"importing {name}")) from error


def _not_found(name: str, missing: str, folder: Path) -> str:
    """Return what to say where Python finds no module `missing` on the way to `name`."""
    others = [known for known in {*sys.stdlib_module_names, *sys.modules} if known.count(".") == name.count(".")]
    close = get_close_matches(name, python_modules(folder), n=1)
    close = close or get_close_matches(name, others, n=1, cutoff=ALIKE)
    if close or "." in missing:
        return f"there is no module {name!r}{f'; did you mean {close[0]}?' if close else ''}"
    return f"the package {missing!r} is not installed in this Python; install it, or give file.py:name"


def _build(value: Any, name: str) -> Any:
    if not callable(value):
        raise BadInput(f"{name} is not an nn.Module or something that builds one; it is {value!r:.60}")
    try:
        inspect.signature(value).bind()
    except TypeError as error:
        raise BadInput(
            f"{name} cannot be called without arguments ({error}); name a function that builds it"
        ) from error
    except ValueError:
        pass  # a callable without a signature
    try:
        return value()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise NetworkError(said_by(error, f"building {name}()")) from error


def said_by(error: BaseException, doing: str) -> str:
    """Return one line on an error of the user's code: what was done (`doing`), the error, the file and line of it."""
    words = (error.msg if isinstance(error, SyntaxError) else words_of(error)).strip().splitlines()[:1]
    place = ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({error.filename}:{error.lineno})"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if is_users(frame.filename)]
        if theirs:
            place = f" ({theirs[-1].filename}:{theirs[-1].lineno})"
    return f"{doing} raised {': '.join([type(error).__name__, *words])}{place}"
