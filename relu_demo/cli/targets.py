"""What a target names, for `check`, `watch` and completion. Files are read as text: nothing of the user's runs here.

find_program(["train.py", "--epochs", "1"])   Script
find_program(["-m", "package.module"])        Module
find_program(["my_file.py:step"])             Function
find_program(["torchrun", "train.py"])        Command
"""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from relu_demo.errors import BadInput
from relu_demo.machine.imports import MOST_LISTED, NAMED, find_spec, missing_file, near, python_files, python_modules

GIVE_PROGRAM = "give train.py, -m package.module, my_file.py:step or a command line"
GIVE_NETWORK = "give file.py:name or package.module:name"


@dataclass(frozen=True)
class Script:
    """A file, run as `python FILE` runs it. `path` is as the user gave it."""

    path: str


@dataclass(frozen=True)
class Module:
    """A module, or a package with `__main__`, run as `python -m NAME` runs it."""

    name: str


@dataclass(frozen=True)
class Function:
    """A function that is called without arguments, once its file or module is imported."""

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


@dataclass(frozen=True)
class Command:
    """Any other command line. Its first word is found on PATH, or is the path of an executable."""

    words: tuple[str, ...]


Program = Script | Module | Function | Command


def find_program(words: Sequence[str]) -> Program:
    """Return what a command line runs. Raise BadInput where there is no such program."""
    first = words[0]
    if first == "-m":
        return _module(words[1] if len(words) > 1 else "")
    if not first or "\0" in first:
        raise BadInput(f"{first!r} names no program; {GIVE_PROGRAM}")
    source, colon, name = first.rpartition(":")
    is_file = os.path.exists(first) and not os.path.isdir(first)
    if colon and not is_file and not _has_separator(name):
        return _function(first, source.rstrip(":"), name)
    if is_file and _is_python(first):
        return Script(first)
    if shutil.which(first):
        return Command(tuple(words))
    if beside := shutil.which(first, path=os.path.dirname(sys.executable)):  # an environment that is not activated
        return Command((beside, *words[1:]))
    if is_file and _is_python_text(first):
        return Script(first)
    raise BadInput(_no_program(first))


def command_of(program: Program, words: Sequence[str]) -> list[str]:
    """Return the command line that runs a program, of which `words` are what the user typed."""
    if isinstance(program, Command):
        return list(program.words)
    if isinstance(program, Function):
        call = str(Path(__file__).parents[1] / "watching" / "process" / "call.py")
        return [sys.executable, call, program.folder, program.source, program.name, *words[1:]]
    return [sys.executable, *words]


def find_network(target: str) -> None:
    """Raise BadInput where a target names no network of a file, or names a file that is not there."""
    match = NAMED.fullmatch(target)
    if match is None or match["name"].endswith(".py") or (match["name"] == "py" and not match["call"]):
        source = target.rstrip(":")
        path = _file_of(source)
        if path is None:
            raise BadInput(f"{target!r} names no network; {GIVE_NETWORK}")
        raise BadInput(_networks_of(source, path))
    if _is_python(match["source"]):
        _require_file(match["source"], GIVE_NETWORK)


def public_names(file: str) -> list[str]:
    """Return the public names of a Python file that could be called or checked, in the order of its lines.

    These are its classes, its functions, and the results of calls that it assigns. A file that is missing, or that
    Python cannot parse, has none.
    """
    tree = _parsed(os.path.expanduser(file))
    could = (ast.ClassDef, ast.FunctionDef, ast.Call)
    return [] if tree is None else [name for name, node in _public(tree).items() if isinstance(node, could)]


def _module(name: str) -> Module:
    if not name or _is_python(name) or _has_separator(name) or not all(name.split(".")):
        raise BadInput(f"-m takes the name of a module, not {name!r}; give for example -m package.module")
    with _here_first():
        spec = find_spec(name)
        if spec is None:
            raise BadInput(_no_module(name))
        if spec.submodule_search_locations is not None and find_spec(f"{name}.__main__") is None:
            known = [f"{name}.{module}" for module in _modules_of(spec)]
            raise BadInput(f"{name} is a package without __main__{near('', known)}")
    return Module(name)


def _function(target: str, source: str, name: str) -> Function:
    if not source or target != f"{source}:{name}" or not all(part.isidentifier() for part in name.split(".")):
        called = name.removesuffix("()")
        as_one = f"{source or 'my_file.py'}:{called if called.isidentifier() else 'step'}"
        raise BadInput(f"{target!r} names no function; give it as {as_one}")
    if _is_python(source):
        _require_file(source, GIVE_PROGRAM)
    elif not all(part.isidentifier() for part in source.split(".")):
        raise BadInput(f"{target!r} names no function; {GIVE_PROGRAM}")
    else:
        with _here_first():
            if find_spec(source) is None:
                raise BadInput(_no_module(source))
    return Function(source, name)


def _bindings(scope: ast.Module | ast.ClassDef) -> dict[str, ast.AST]:
    """Return what the statements of a file or class bind to each name: a definition, or the value that is assigned."""
    found: dict[str, ast.AST] = {}
    for node in _inside(scope):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(each.asname or each.name).partition(".")[0]: node for each in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.setdefault(node.id, node)
        elif isinstance(node, ast.Assign):
            found |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
    return found


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield all below a scope, in the order of its lines, but what is inside a function or class of it."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from _inside(node)


def _public(scope: ast.Module | ast.ClassDef) -> dict[str, ast.AST]:
    """Return what a file or class binds itself, without what it imports."""
    return {
        name: node
        for name, node in _bindings(scope).items()
        if not name.startswith("_") and not isinstance(node, (ast.Import, ast.ImportFrom))
    }


def _networks_of(source: str, path: str) -> str:
    """Return what to say where a file is given without the name of a network in it."""
    names = _networks(path) or public_names(path)
    if not names:
        return f"{source} has no network; {GIVE_NETWORK}"
    example = f"relu-demo check {shlex.quote(f'{source}:{names[0]}')} --shape 1,3,8,8"
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return f"{source} has {', '.join(names[:MOST_LISTED])}{more}; give for example {example}"


def _networks(path: str) -> list[str]:
    """Return the classes of a file that are networks, those first that no other one is built of."""
    tree = _parsed(path)
    classes = [node for node in (_public(tree).values() if tree else ()) if isinstance(node, ast.ClassDef)]
    found: dict[str, ast.ClassDef] = {}
    for each in classes:
        bases = {getattr(base, "attr", getattr(base, "id", "")) for base in each.bases}
        if "Function" not in bases and ("forward" in _bindings(each) or bases & {"Module", "Sequential", *found}):
            found[each.name] = each
    within = {word.id for each in found.values() for word in ast.walk(each) if isinstance(word, ast.Name)}
    return sorted(found, key=lambda name: name in within)


def _parsed(path: str) -> ast.Module | None:
    """Return the syntax tree of a file, or None where it cannot be read or parsed: Python says why when it runs."""
    try:
        return ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _file_of(source: str) -> str | None:
    """Return the file of a source: itself, or where Python finds the module of that name."""
    if _is_python(source):
        _require_file(source, GIVE_NETWORK)
        return source
    if not all(part.isidentifier() for part in source.split(".")):
        return None
    with _here_first():
        spec = find_spec(source)
    return spec.origin if spec is not None and spec.has_location and _is_python(spec.origin or "") else None


def _require_file(path: str, give: str) -> None:
    if os.path.isdir(path):
        raise BadInput(f"{path} is a folder; {give}")
    if not os.path.exists(path):
        raise BadInput(missing_file(Path(path)))


def _no_program(word: str) -> str:
    """Return what to say of a word that is no program."""
    path = Path(word)
    if os.path.isdir(path):  # Path.is_dir raises where a name is too long
        main = path / "__main__.py"
        return f"{path} is a folder; {f'give {main}' if main.is_file() else GIVE_PROGRAM}"
    if path.suffix == ".ipynb" and os.path.isfile(path):
        return f"{word} is a notebook; give jupyter nbconvert --to notebook --execute {shlex.quote(word)}"
    if os.path.exists(path):
        return f"{word} is no Python text and cannot be executed; {GIVE_PROGRAM}"
    if _is_python(word) or _has_separator(word):
        return missing_file(path)
    with _here_first():
        if all(part.isidentifier() for part in word.split(".")) and find_spec(word) is not None:
            return f"{word} is a module; give -m {word}"
    return f"there is no command {word!r}{near(word, python_files(Path()), _commands())}"


def _no_module(name: str) -> str:
    """Return what to say of a module that is not there."""
    package, _, _ = name.rpartition(".")
    spec = find_spec(package) if package else None
    inside = [] if spec is None else [f"{package}.{module}" for module in _modules_of(spec)]
    return f"there is no module {name!r}{near(name, inside or python_modules(Path()), having='there are')}"


def _modules_of(package: ModuleSpec) -> list[str]:
    folders = package.submodule_search_locations or []
    return [name for folder in folders for name in python_modules(Path(folder)) if not name.startswith("_")]


def _commands() -> list[str]:
    """Return the names of what is on PATH."""
    folders = [Path(folder) for folder in (*os.get_exec_path(), os.path.dirname(sys.executable))]
    return [
        each.name for folder in folders if os.access(folder, os.R_OK) and folder.is_dir() for each in folder.iterdir()
    ]


def _is_python_text(path: str) -> bool:
    """Return whether a file without an ending has Python in it. A pipe can be read only once: it is taken for one."""
    if not os.path.isfile(path):
        return True
    with open(path, "rb") as file:
        start = file.readline(200)
    if start.startswith(b"#!"):
        return b"python" in start
    return Path(path).suffix == "" and _parsed(path) is not None


@contextmanager
def _here_first() -> Iterator[None]:
    """Put the working directory first on `sys.path` while the block runs."""
    before = sys.path[:]
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = before


def _is_python(path: str) -> bool:
    return path.endswith((".py", ".pyw"))


def _has_separator(name: str) -> bool:
    return os.sep in name or (os.altsep is not None and os.altsep in name)
