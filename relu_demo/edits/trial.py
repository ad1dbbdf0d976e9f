"""A program from edited sources: what Python reads of its files is what edits make of them, and nothing is written."""

from __future__ import annotations

import base64
import importlib.machinery
import importlib.util
import io
import json
import os
import sys
import tokenize
from collections.abc import Mapping
from types import CodeType
from typing import Any

EDITS_VARIABLE = "RELU_DEMO_EDITS"
"""The environment variable that names the file with the edited sources, for a process that tries them."""


def write_for_trial(texts: Mapping[str, bytes], folder: str) -> dict[str, str]:
    """Write edited sources, by their real paths, to a file. Return the variable that has a process serve them."""
    path = os.path.join(folder, "edits.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({name: base64.b64encode(text).decode() for name, text in texts.items()}, file)
    return {EDITS_VARIABLE: path}


def serve_if_asked() -> bool:
    """Serve the edited sources that the environment names. Return whether this process is such a trial."""
    path = os.environ.get(EDITS_VARIABLE)
    if path is None:
        return False
    with open(path, encoding="utf-8") as file:
        serve({name: base64.b64decode(text) for name, text in json.load(file).items()})
    return True


def serve(texts: Mapping[str, bytes]) -> None:
    """Give Python these bytes for the sources of these real paths, from now on and in the whole process.

    Served are modules that are imported, reloaded or run by `-m` and runpy, and the script of `python FILE` if this is
    called from a `sitecustomize`. What opens a file by itself, as `exec(open(FILE).read())`, gets what is there.
    """
    sys.dont_write_bytecode = True  # it would be taken for that of the file as it is
    caches = set()
    for path in texts:
        caches |= {importlib.util.cache_from_source(path, optimization=level) for level in ("", 1, 2)}
    _show(texts)
    opened = io.open_code

    def open_code(path: str) -> Any:
        real = os.path.realpath(path)
        if real in caches:
            raise FileNotFoundError(path)
        return io.BytesIO(texts[real]) if real in texts else opened(path)

    importlib_reads_by = sys.modules["_io"]
    io.open_code = vars(importlib_reads_by)["open_code"] = open_code
    script = sys.argv[0] if getattr(sys, "argv", None) else ""
    if os.path.realpath(script) in texts and not hasattr(sys.modules.get("__main__"), "__file__"):
        sys.path_hooks.insert(0, _Script(script))


def _show(texts: Mapping[str, bytes]) -> None:
    """Make `linecache`, and so `inspect` and what prints a traceback by it, show the edited lines."""
    opened = tokenize.open

    def open_source(path: Any) -> Any:
        text = texts.get(os.path.realpath(path))
        if text is None:
            return opened(path)
        encoding, _ = tokenize.detect_encoding(io.BytesIO(text).readline)
        return io.TextIOWrapper(io.BytesIO(text), encoding)

    vars(tokenize)["open"] = open_source


class _Script(importlib.machinery.SourceFileLoader):
    """The hook, the finder and the loader of the script of `python FILE`, which Python opens in C.

    Before it opens the file, Python asks the hooks of `sys.path` whether it is a folder or an archive, and takes
    `__main__` from it then.
    """

    def __init__(self, script: str) -> None:
        super().__init__("__main__", os.path.abspath(script))

    def __call__(self, entry: str) -> _Script:
        if os.path.abspath(entry) != self.path:
            raise ImportError(entry)
        return self

    def find_spec(self, name: str, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != "__main__":
            return None
        sys.path_hooks.remove(self)
        own = next(index for index, entry in enumerate(sys.path) if os.path.abspath(entry) == self.path)
        sys.path_importer_cache.pop(sys.path[own], None)
        sys.path[own : own + 1] = (
            [] if getattr(sys.flags, "safe_path", False) else [os.path.dirname(os.path.realpath(self.path))]
        )
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        """Return code that runs the script with the names that Python gives to a script."""
        self.code = self.source_to_code(self.get_data(self.path), self.path)
        return compile("__loader__.run(globals())", "<frozen trial>", "exec")

    def run(self, names: dict[str, Any]) -> None:
        names.update(__spec__=None, __package__=None, __cached__=None)
        exec(self.code, names)
