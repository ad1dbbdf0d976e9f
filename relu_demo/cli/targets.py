"""What a target names, for `check`, `watch` and completion. Files are read as text: nothing of the user's runs here."""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from relu_demo.errors import BadInput
from relu_demo.machine.imports import MOST_LISTED, NAMED, missing_file, near, python_files

GIVE_PROGRAM = "give train.py, -m package.module, my_file.py:step or a command line"
GIVE_NETWORK = "give file.py:name or package.module:name"


def command_of(words: Sequence[str]) -> list[str]:
    """Return the command line that runs what a user typed. Raise BadInput where there is no such program.

    `my_file.py:step` is a function, which is called without arguments. A file that cannot be executed is Python's.
    """
    first = words[0]
    if not first or "\0" in first:
        raise BadInput(f"{first!r} names no program; {GIVE_PROGRAM}")
    source, colon, name = first.rpartition(":")
    exists = os.path.exists(first)
    if colon and not exists and os.sep not in name:
        return [*_call_of(first, source, name), *words[1:]]
    if first == "-m" or (exists and _is_python(first)):
        return [sys.executable, *words]
    # Also that of an environment that is not activated.
    if command := shutil.which(first) or shutil.which(first, path=os.path.dirname(sys.executable)):
        return [command, *words[1:]]
    if first.endswith(".ipynb") and exists:
        raise BadInput(f"{first} is a notebook; give jupyter nbconvert --to notebook --execute {shlex.quote(first)}")
    if exists:
        return [sys.executable, *words]
    if _is_python(first) or os.sep in first:
        raise BadInput(missing_file(Path(first)))
    raise BadInput(f"there is no command {first!r}{near(first, python_files(Path()), having='there are')}")


def _call_of(target: str, source: str, name: str) -> list[str]:
    """Return the command line that calls a function of a file or module."""
    if not source or source.endswith(":") or not all(part.isidentifier() for part in name.split(".")):
        called = name.removesuffix("()")
        as_one = f"{source.rstrip(':') or 'my_file.py'}:{called if called.isidentifier() else 'step'}"
        raise BadInput(f"{target!r} names no function; give it as {as_one}")
    folder = os.getcwd()
    if _is_python(source):
        _require_file(source, GIVE_PROGRAM)
        folder = os.path.dirname(os.path.realpath(source))
    call = Path(__file__).parents[1] / "watching" / "process" / "call.py"
    return [sys.executable, str(call), folder, source, name]


def find_network(target: str) -> None:
    """Raise BadInput where a target names no network of a file, or names a file that is not there."""
    match = NAMED.fullmatch(target)
    if match is None:
        source = target.rstrip(":")
        path = _file_of(source)
        if path is None:
            raise BadInput(f"{target!r} names no network; {GIVE_NETWORK}")
        raise BadInput(_networks_of(source, path))
    if _is_python(match["source"]):
        _require_file(match["source"], GIVE_NETWORK)


def public_names(file: str) -> list[str]:
    """Return the names of a Python file's classes and functions, and of the results of calls that it assigns.

    A file that is missing, or that Python cannot parse, has none.
    """
    found: list[str] = []
    for node in _statements(os.path.expanduser(file)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found.append(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [name for name in found if not name.startswith("_")]


def _networks_of(source: str, path: str) -> str:
    """Return what to say where a file is given without the name of a network in it."""
    classes = [node for node in _statements(path) if isinstance(node, ast.ClassDef) and _is_network(node)]
    names = [node.name for node in classes] or public_names(path)
    if not names:
        return f"{source} has no network; {GIVE_NETWORK}"
    example = f"relu-demo check {shlex.quote(f'{source}:{names[-1]}')} --shape 1,3,8,8"
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return f"{source} has {', '.join(names[:MOST_LISTED])}{more}; give for example {example}"


def _is_network(node: ast.ClassDef) -> bool:
    bases = {getattr(base, "attr", getattr(base, "id", "")) for base in node.bases}
    forward = any(isinstance(each, ast.FunctionDef) and each.name == "forward" for each in node.body)
    return "Function" not in bases and (forward or not bases.isdisjoint({"Module", "Sequential"}))


def _statements(path: str) -> list[ast.stmt]:
    """Return the statements of a file; none where it cannot be read or parsed: Python says why when it runs."""
    try:
        return ast.parse(Path(path).read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _file_of(source: str) -> str | None:
    """Return the Python file of a source: itself, or the module of that name below the current folder; else None."""
    if _is_python(source):
        _require_file(source, GIVE_NETWORK)
        return source
    module = source.replace(".", os.sep)
    return next(filter(os.path.isfile, (f"{module}.py", os.path.join(module, "__init__.py"))), None)


def _require_file(path: str, give: str) -> None:
    if os.path.isdir(path):
        raise BadInput(f"{path} is a folder; {give}")
    if not os.path.exists(path):
        raise BadInput(missing_file(Path(path)))


def _is_python(path: str) -> bool:
    return path.endswith((".py", ".pyw"))
