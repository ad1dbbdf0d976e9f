"""The network or function to check, loaded by its name (`file.py:name`, `package.module:build(50)`)."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from relu_demo.errors import BadInput, NetworkError, with_article, words_of
from relu_demo.machine.imports import NAMED, all_names_in, import_file, names_in, near, python_modules
from relu_demo.network.report import STALE_WORDS
from relu_demo.sanitizer.frames import is_users

_HOLDERS = (nn.Module, Tensor, list, dict, set)
ALIKE = 0.8
"""How alike two names are, from 0 to 1, where one may be a slip for the other though nobody's own module has it."""


def load(target: str, inputs: int = 0) -> nn.Module:
    """Return the network that `target` names: a module, or what a class or function returns.

    The class or function is called without arguments, or with the constants in brackets behind its name. A function
    that needs arguments is itself what is to be checked if there are `inputs`. Raise BadInput if there is nothing of
    that name or it builds no module, NetworkError if the user's code raises while it is imported or called.
    """
    match = NAMED.fullmatch(target)
    assert match is not None, target  # `find_network` has refused it
    source, name = match["source"], match["name"]
    arguments = None if match["call"] is None else _constants(target, name + match["call"])
    namespace = _import_file(Path(source)) if source.endswith(".py") else _import_module(source)
    value: Any = namespace
    with _running_theirs(f"reading {name}"):
        for part in name.split("."):
            try:
                value = getattr(value, part)
            except AttributeError as error:
                raise BadInput(f"{source} has no {name!r}{near(part, names_in(value), all_names_in(value))}") from error
    if arguments is None and (isinstance(value, nn.Module) or (inputs and _takes_inputs(value))):
        return value if isinstance(value, nn.Module) else as_network(value)
    value = _build(value, target, name, *(arguments or ((), {})))
    if is_function(value):
        return as_network(value)
    if not isinstance(value, nn.Module):
        raise BadInput(f"calling {name} in {source} returned {with_article(type(value).__name__)}, not an nn.Module")
    return value


def _constants(target: str, call: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call that is written with constants. Raise BadInput for any other."""
    try:
        node = ast.parse(call, mode="eval").body
        if not isinstance(node, ast.Call) or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError(call)
        named = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
        return tuple(map(ast.literal_eval, node.args)), named
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise BadInput(
            f"{target!r} has more than constants in its brackets; give for example my_net.py:build(depth=50)"
        ) from error


def _takes_inputs(value: Any) -> bool:
    """Return whether a value is a function that cannot be called without arguments."""
    return is_function(value) and _refusal_of(value, (), {}) is not None


def _refusal_of(value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TypeError | None:
    """Return what Python says where a callable does not take these arguments; None where nobody can tell."""
    try:
        inspect.signature(value).bind(*args, **kwargs)
    except TypeError as error:
        return error
    except ValueError:
        pass  # a callable without a signature
    return None


@contextmanager
def _running_theirs(doing: str, program: str = "") -> Iterator[None]:
    """Raise NetworkError for what the user's code raises inside the block.

    `program`: what `watch` takes, if the code is more than it should be imported for.
    """
    try:
        yield
    except (KeyboardInterrupt, BadInput):
        raise
    except BaseException as error:
        words = words_of(error)
        hint = "; give it as package.module:name" if "relative import" in words else ""
        if program and STALE_WORDS in words:
            hint = f"; relu-demo watch {program} names both lines"
        raise NetworkError(said_by(error, doing) + hint) from error


def _import_file(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.resolve().parent))  # the file may import its neighbours
    with _running_theirs(f"importing {path}", str(path)):
        return import_file(path)


def _import_module(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    with _running_theirs(f"importing {name}", "FILE"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise BadInput(_not_found(name, error.name, Path(here))) from error


def _not_found(name: str, missing: str, folder: Path) -> str:
    """Return what to say where Python finds no module `missing` on the way to `name`."""
    others = [known for known in {*sys.stdlib_module_names, *sys.modules} if known.count(".") == name.count(".")]
    close = get_close_matches(name, python_modules(folder), n=1)
    close = close or get_close_matches(name, others, n=1, cutoff=ALIKE)
    if close or "." in missing:
        return f"there is no module {name!r}{f'; did you mean {close[0]}?' if close else ''}"
    return f"the package {missing!r} is not installed in this Python; install it, or give file.py:name"


def _build(value: Any, target: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not callable(value):
        raise BadInput(f"{name} is not an nn.Module or something that builds one; it is {value!r:.60}")
    refusal = _refusal_of(value, args, kwargs)
    if refusal is not None and (args or kwargs):
        raise BadInput(f"{name} cannot be called so ({refusal}); give the arguments that it takes") from refusal
    if refusal is not None:
        example = f"relu-demo check {shlex.quote(target)} --shape 1,3,8,8"
        takes = f"; a function to be checked needs a --shape for each input: {example}" if is_function(value) else ""
        raise BadInput(
            f"{name} cannot be called without arguments ({refusal}); name a function that builds it, or give "
            f"constants: {name}(...){takes}"
        ) from refusal
    with _running_theirs(f"building {name}()"):
        return value(*args, **kwargs)


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


def is_function(value: Any) -> bool:
    """Return whether a value is a function, a method or a partial one of them: no class, and no object with a call."""
    inner = value.func if isinstance(value, functools.partial) else value
    return inspect.isroutine(inner)


class FunctionNetwork(nn.Module):
    """A function as a network: the modules and tensors that it uses are its attributes."""


def as_network(function: Callable[..., Any]) -> nn.Module:
    """Return a module whose forward is the function, and whose class has its name.

    The modules, tensors and built-in containers that it uses (globals, variables of an outer function, the object of a
    method) are its attributes by their names: their state is put back after each run, as that of a network is.
    """
    inner = function.func if isinstance(function, functools.partial) else function
    name = getattr(inner, "__name__", "function")
    network: nn.Module = type(name, (FunctionNetwork,), {"forward": staticmethod(function)})()
    for reached, value in _reached(inner).items():
        if isinstance(value, _HOLDERS) and not hasattr(network, reached):
            setattr(network, reached, value)
    if isinstance(function, functools.partial):
        vars(network)["given"] = (function.args, function.keywords)
    return network


def _reached(function: Callable[..., Any]) -> dict[str, Any]:
    found = {"self": getattr(function, "__self__", None)}
    with suppress(TypeError, ValueError):  # of one that is not Python's
        variables = inspect.getclosurevars(function)
        found = {**variables.globals, **variables.nonlocals, **found}
    return found
