"""What the shell completes behind an option: usual names, files, and the names in a file, which is never imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def words(known: Iterable[str], begun: str, before: str = "") -> list[CompletionItem]:
    """Return the known words that start with what is begun, each with `before` in front of it."""
    from click.shell_completion import CompletionItem  # --help does without

    return [CompletionItem(before + word) for word in known if word.startswith(begun)]


def files(begun: str) -> list[CompletionItem]:
    """Return what has the shell itself complete the name of a file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type="file")]


def networks(begun: str) -> list[CompletionItem]:
    """Return how a target goes on: the name of a file, and behind `file.py:` a name that the file defines."""
    file, colon, name = begun.rpartition(":")
    return words(names_in(file), name, before=f"{file}:") if colon and file.endswith(".py") else files(begun)


def networks_in_bash(given: Mapping[str, Any], rest: Sequence[str], begun: str) -> list[CompletionItem]:
    """Return how a target goes on where its shell has cut it in three at the colon, as bash does (COMP_WORDBREAKS).

    `given` are the options' values, with the file as that of --check; `rest` are the words that belong to no option.
    bash puts the answer behind the colon. Return nothing unless the word begun is the one behind `file.py:`.
    """
    file = given.get("check") or ""
    if not file.endswith(".py") or (begun != ":" and list(rest) != [":"]):
        return []
    return words(names_in(file), begun.removeprefix(":"))


def names_in(file: str) -> list[str]:
    """Return the public names of a Python file that could be a network, in the order of its lines.

    These are its classes, its functions, and the results of calls that it assigns. A file that is missing, or that
    Python cannot parse, has none.
    """
    import ast
    from pathlib import Path

    try:
        statements = ast.parse(Path(file).expanduser().read_bytes()).body
    except (OSError, SyntaxError, ValueError, RuntimeError):
        return []
    names: list[str] = []
    for statement in statements:
        if isinstance(statement, (ast.ClassDef, ast.FunctionDef)):
            names.append(statement.name)
        elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            names += [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]
