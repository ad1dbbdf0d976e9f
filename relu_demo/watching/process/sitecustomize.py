"""Begins the watch in a Python process of the watched program, when that has imported torch.

`start` puts this folder in front of PYTHONPATH, so that Python imports this by its name, and next the user's own
`sitecustomize`. Nothing of it stays in `sys.modules` or `sys.path`. It runs in any Python from 3.6 on.
"""

import atexit
import os
import sys

TYPE_CHECKING = False  # the program may not have imported typing
if TYPE_CHECKING:
    from typing import Any


def _begin() -> None:
    here = os.path.dirname(__file__)
    sys.path.remove(here)
    del sys.modules[__name__]
    folder = os.environ.get("RELU_DEMO_WATCH", "")
    if os.path.isdir(folder):
        atexit.register(_tell_missing, folder)
        if sys.version_info < (3, 11):  # noqa: UP036 - the program may run on any
            _tell_unwatched(folder, "Python %d.%d" % sys.version_info[:2], "the watch needs 3.11 or newer")  # noqa: UP031 - a tuple
        else:
            sys.meta_path.insert(0, _AfterTorch(folder, here))
            _serve_edits(here)
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401 - the user's; without one Python expects the error


class _AfterTorch:
    """Finds torch as Python would, and begins the watch behind its import."""

    def __init__(self, folder: str, here: str) -> None:
        self.folder, self.here = folder, here

    def find_spec(self, name: str, *where: "Any") -> "Any":
        if name != "torch":
            return None
        ours: Any = self
        found = (finder.find_spec(name, *where) for finder in list(sys.meta_path) if finder is not ours)
        spec = next((each for each in found if each is not None), None)
        loader: Any = getattr(spec, "loader", None)
        execute = getattr(loader, "exec_module", None)
        if execute is not None:

            def exec_module(module: object) -> None:
                del loader.exec_module
                execute(module)
                if ours in sys.meta_path:
                    sys.meta_path.remove(ours)
                    _watch(self.folder, self.here)

            loader.exec_module = exec_module
        return spec


def _watch(folder: str, here: str) -> None:
    """Begin the watch, with this package's modules out of `sys.modules` again."""
    from importlib import import_module
    from importlib.util import module_from_spec, spec_from_file_location

    version = str(sys.modules["torch"].__version__)
    if [int(part) for part in version.split(".")[:2]] < [2, 6]:
        _tell_unwatched(folder, f"PyTorch {version}", "the watch needs 2.6 or newer")
        return
    package = os.path.dirname(os.path.dirname(here))
    apart = _taken()
    try:
        file = os.path.join(package, "__init__.py")
        spec = spec_from_file_location("relu_demo", file, submodule_search_locations=[package])
        module = sys.modules["relu_demo"] = module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        import_module("relu_demo.watching.process.child").begin(folder, _write)
    except Exception as error:
        _tell_unwatched(folder, "this process", f"{type(error).__name__}: {error}")
    finally:
        _taken()
        sys.modules.update(apart)


def _serve_edits(here: str) -> None:
    """Run the program from the edited sources that a trial of cures is given."""
    if "RELU_DEMO_EDITS" in os.environ:
        from importlib.util import module_from_spec, spec_from_file_location

        file = os.path.join(os.path.dirname(os.path.dirname(here)), "edits", "trial.py")
        spec = spec_from_file_location("_relu_demo_trial", file)
        module = module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        module.serve_if_asked()


def _taken() -> dict:  # type: ignore[type-arg]
    """Take this package's modules out of `sys.modules`, and return them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "relu_demo"}


def _tell_missing(folder: str) -> None:
    """Tell which module was missing, where that has ended the program."""
    error = getattr(sys, "last_value", None)
    if isinstance(error, ModuleNotFoundError) and error.name:
        _write(folder, {"event": "missing", "name": error.name, "python": sys.executable})


def _tell_unwatched(folder: str, what: str, why: str) -> None:
    _write(folder, {"event": "unwatched", "what": what, "why": why})


def _write(folder: str, line: dict) -> None:  # type: ignore[type-arg]
    """Append a line to this process's own file."""
    import json

    line["pid"] = os.getpid()
    try:
        file = os.path.join(folder, f"{os.getpid()}.jsonl")
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, (json.dumps(line) + "\n").encode())
        finally:
            os.close(descriptor)
    except OSError:  # the command that started the program is gone
        pass


if __name__ == "sitecustomize":
    _begin()
