"""The house: which file may import which, read from the source of every file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.imports import Arrow, arrows, circles, loading_path, modules_below
from support.processes import ROOT

FLOORS = [
    ["__main__"],
    ["api", "cli"],
    ["views"],
    ["scenarios"],
    ["network", "watching"],
    ["memory", "claims"],
    ["replay", "edits"],
    ["sanitizer"],
    ["session"],
    ["tensors", "machine", "request"],
    ["errors", "language", "__init__"],
]
"""The files and folders of the package, the highest first: each may import what is beside it or lower."""


def inside(found: list[Arrow], modules: dict[str, Path]) -> list[Arrow]:
    return [arrow for arrow in found if arrow.target in modules]


PACKAGE = modules_below(ROOT / "relu_demo", "relu_demo")
SCRIPTS = modules_below(ROOT / "scripts")
TESTS = modules_below(ROOT / "tests")
IMPORTS = arrows(PACKAGE)
# relu_demo itself imports the public functions when they are asked for: the one arrow that leads upwards.
ARROWS = [arrow for arrow in IMPORTS if arrow.source != "relu_demo" and arrow.target in PACKAGE]


def place(name: str) -> str:
    """The file or folder of FLOORS that a module of relu_demo is, or is in."""
    return [*name.split("."), "__init__"][1]


def folder(name: str, modules: dict[str, Path]) -> str:
    """The folder that a module is in; a file beside the folders stands for itself."""
    parts = name.split(".")
    if modules[name].name == "__init__.py" or len(parts) == 2:
        return name
    return ".".join(parts[:-1])


def upward(found: list[Arrow], floors: list[list[str]]) -> list[Arrow]:
    """The arrows from a lower to a higher floor."""
    height = {name: -floor for floor, names in enumerate(floors) for name in names}
    return [arrow for arrow in found if height[place(arrow.target)] > height[place(arrow.source)]]


def test_everything_in_the_package_has_its_floor() -> None:
    assert {place(name) for name in PACKAGE} - {name for names in FLOORS for name in names} == set()


def test_no_file_or_folder_is_called_as_a_public_function_is() -> None:
    """Importing it would overwrite the function in relu_demo."""
    assert {place(name) for name in PACKAGE} & {"check", "show", "watch"} == set()


def test_no_arrow_leads_to_a_higher_floor() -> None:
    assert upward(ARROWS, FLOORS) == []


@pytest.mark.parametrize(
    "found",
    [ARROWS, inside(arrows(SCRIPTS), SCRIPTS), inside(arrows(TESTS), TESTS)],
    ids=["relu_demo", "scripts", "tests"],
)
def test_no_two_files_need_each_other(found: list[Arrow]) -> None:
    assert circles((arrow.source, arrow.target) for arrow in found) == []


def test_no_two_folders_need_each_other() -> None:
    pairs = [(folder(arrow.source, PACKAGE), folder(arrow.target, PACKAGE)) for arrow in ARROWS]
    assert circles(pairs) == []


def test_importing_what_needs_no_tensors_does_not_load_torch() -> None:
    light = ("cli", "scenarios", "session", "request", "errors", "views", "edits")
    ways = [loading_path(name, "torch", IMPORTS) for name in PACKAGE if place(name) in light]
    assert [way for way in ways if way] == []


def test_importing_a_view_without_a_screen_does_not_load_rich() -> None:
    ways = [loading_path(f"relu_demo.views.{name}", "rich", IMPORTS) for name in ("json", "one_line")]
    assert [way for way in ways if way] == []


@pytest.mark.parametrize("modules", [PACKAGE, SCRIPTS, TESTS], ids=["relu_demo", "scripts", "tests"])
def test_every_file_says_first_what_it_is(modules: dict[str, Path]) -> None:
    silent = [name for name, path in modules.items() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []


def test_no_test_imports_another_test() -> None:
    found = inside(arrows(TESTS), TESTS)
    assert [arrow for arrow in found if arrow.target.split(".")[-1].startswith("test_")] == []


def names_at_the_top(source: str) -> set[str]:
    """The names that a module defines at its top level; what it imports is another's."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {part.id for each in targets for part in ast.walk(each) if isinstance(part, ast.Name)}
    return names - {"TYPE_CHECKING"}  # so that a type checker knows it, without importing typing


def test_no_name_stands_at_the_top_of_two_modules() -> None:
    places: dict[str, list[str]] = {}
    for module, path in PACKAGE.items():
        for name in names_at_the_top(path.read_text("utf-8")):
            if not (name.startswith("__") and name.endswith("__")):
                places.setdefault(name, []).append(module)
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}


def test_no_file_name_stands_twice_but_for_the_same_thing_of_another_kind() -> None:
    names = [path.name for path in PACKAGE.values() if path.name != "__init__.py"]
    assert {name for name in names if names.count(name) > 1} == {"article.py", "branches.py", "faults.py", "report.py"}


def package(folder: Path, **sources: str) -> dict[str, Path]:
    """A package `p` of these modules; one named `x_y` is y in the folder x, whose own file has the source of `x`."""
    folders = {name.split("_")[0] for name in sources if "_" in name}
    for name, source in sources.items():
        path = folder / "p" / (f"{name}/__init__.py" if name in folders else name.replace("_", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return modules_below(folder / "p", "p")


@pytest.mark.parametrize(
    "source",
    ["from p import b", "from p.b import x", "from . import b", "from .b import x", "def f():\n    import p.b"],
)
def test_a_circle_of_two_files_is_found(tmp_path: Path, source: str) -> None:
    modules = package(tmp_path, a=source, b="import p.a")
    assert circles((arrow.source, arrow.target) for arrow in arrows(modules)) == [["p.a", "p.b", "p.a"]]


def test_a_circle_of_two_folders_is_found_where_no_two_files_make_one(tmp_path: Path) -> None:
    modules = package(tmp_path, x_a="import p.y.b", x_c="", y_b="", y_d="from ..x import c")
    found = inside(arrows(modules), modules)
    assert circles((each.source, each.target) for each in found) == []
    assert circles((folder(each.source, modules), folder(each.target, modules)) for each in found) == [
        ["p.x", "p.y", "p.x"]
    ]


def test_an_arrow_upwards_is_found_and_one_on_the_same_floor_or_down_is_none(tmp_path: Path) -> None:
    modules = package(
        tmp_path, top="import p.low.x", mid="import p.low.x", low_x="def f(): from p import mid", low_y="import p.low.x"
    )
    (found,) = upward(inside(arrows(modules), modules), [["top"], ["mid"], ["low"]])
    assert (found.source, found.target, found.line) == ("p.low.x", "p.mid", 1)


@pytest.mark.parametrize(
    ("source", "way"),
    [
        ("import torch", ["p.a", "torch"]),
        ("from torch.nn import ReLU", ["p.a", "torch.nn"]),
        ("from p.b import x", ["p.a", "p.b", "torch"]),
        ("from p.c import d", ["p.a", "p.c.d", "p.c", "torch"]),
        ("import torchvision", []),
        ("def f():\n    import torch", []),
        ("import typing\nif typing.TYPE_CHECKING:\n    from p.b import x", []),
    ],
)
def test_what_is_loaded_at_import_is_found_with_its_way(tmp_path: Path, source: str, way: list[str]) -> None:
    modules = package(tmp_path, a=source, b="import torch", c="import torch", c_d="")
    assert loading_path("p.a", "torch", arrows(modules)) == way
