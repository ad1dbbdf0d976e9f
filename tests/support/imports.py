"""The imports of Python files, read from their source: who needs whom, and what is loaded at import already."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arrow:
    """One import: `source` needs `target`, both dotted names. Not `at_import`: in a function or for types only."""

    source: str
    target: str
    at_import: bool
    line: int


def modules_below(folder: Path, prefix: str = "") -> dict[str, Path]:
    """Return the file of each module below a folder by its dotted name; `prefix` is the package of the folder."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [*prefix.split("."), *path.relative_to(folder).with_suffix("").parts]
        found[".".join(part for part in parts if part not in ("", "__init__"))] = path
    return found


def arrows(modules: Mapping[str, Path]) -> list[Arrow]:
    """Return every import in these modules; `from a import b` leads to module `a.b` if there is one, else to `a`."""
    return [
        Arrow(source, target, at_import, node.lineno)
        for source, path in modules.items()
        for node, at_import in import_statements(ast.parse(path.read_text(encoding="utf-8")))
        for target in targets(node, source, modules)
    ]


def import_statements(node: ast.AST, at_import: bool = True) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Yield each import below a node, and whether it runs when the module is imported."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield node, at_import
    never = node.body if isinstance(node, ast.If) and is_type_checking(node.test) else []
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        never = node.body
    for child in ast.iter_child_nodes(node):
        yield from import_statements(child, at_import and child not in never)


def is_type_checking(test: ast.expr) -> bool:
    """Tell whether a condition is `TYPE_CHECKING` or `typing.TYPE_CHECKING`."""
    return ast.unparse(test).split(".")[-1] == "TYPE_CHECKING"


def targets(node: ast.Import | ast.ImportFrom, source: str, modules: Mapping[str, Path]) -> set[str]:
    """Return the dotted names of the modules that an import statement in the module `source` needs."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    base = node.module or ""
    if node.level:
        package = source.split(".") if modules[source].name == "__init__.py" else source.split(".")[:-1]
        base = ".".join([*package[: len(package) - node.level + 1], *base.split(".")]).rstrip(".")
    return {f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base for alias in node.names}


def loading_path(start: str, wanted: str, found: Iterable[Arrow]) -> list[str]:
    """Return how importing the module `start` loads the package `wanted`, a dotted name a step; empty if it does not.

    As in Python, importing a module imports the packages that it is in.
    """
    needs: dict[str, set[str]] = {}
    for arrow in found:
        if arrow.at_import:
            needs.setdefault(arrow.source, set()).add(arrow.target)
    return path(start, lambda name: {*needs.get(name, ()), *packages(name)}, lambda name: name.split(".")[0] == wanted)


def packages(name: str) -> list[str]:
    """Return the packages that a module is in, by their dotted names."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def circles(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the shortest way from each name back to itself, each circle once; a pair leads from its first name on."""
    leads: dict[str, set[str]] = {}
    for source, target in pairs:
        if source != target:
            leads.setdefault(source, set()).add(target)
    found: dict[frozenset[str], list[str]] = {}
    for name in sorted(leads):
        for next_one in sorted(leads[name]):
            if back := path(next_one, lambda each: leads.get(each, set()), {name}.__contains__):
                found.setdefault(frozenset(back), [name, *back])
    return list(found.values())


def path(start: str, following: Callable[[str], set[str]], is_wanted: Callable[[str], bool]) -> list[str]:
    """Return the shortest way from a name to a wanted one, both included; empty if there is none."""
    before = {start: ""}
    waiting = deque([start])
    while waiting:
        name = waiting.popleft()
        if is_wanted(name):
            way = [name]
            while before[way[0]]:
                way.insert(0, before[way[0]])
            return way
        for each in sorted(following(name) - before.keys()):
            before[each] = name
            waiting.append(each)
    return []
