"""Small programs with one fault each, whose lines are marked; and how one is watched."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import relu_demo
from relu_demo.watching.report import WatchReport

CASES = sorted((Path(__file__).parents[1] / "watching" / "cases").glob("*.py"))
"""Each has a `scenario`, and comments where it SAVES (or makes a write forbidden), WRITES and RAISES."""


def program(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"case_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def watched(path: Path, fixed: bool) -> tuple[WatchReport, BaseException | None]:
    case = program(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", relu_demo.SilentInplaceWarning)
        try:
            with relu_demo.watch() as watch:
                case.scenario(fixed=fixed)
        except RuntimeError as error:
            return watch.report, error
    return watch.report, None


def marked(path: Path, mark: str) -> set[int]:
    return {number for number, line in enumerate(path.read_text().splitlines(), 1) if f"# {mark}" in line}
