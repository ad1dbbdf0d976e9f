"""
Begins the watch in a Python process of the watched program, when that has imported torch.

Python imports this by its name, since `start` puts its folder in front of PYTHONPATH; the user's own `sitecustomize` is
run next. Nothing stays in `sys.modules` or `sys.path`. This file must be readable by every Python 3, and imports of the
standard library only what Python has imported already.
"""

import os
import sys


def _begin():  # type: ignore[no-untyped-def]
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder or os.curdir) != here]
    del sys.modules["sitecustomize"]
    folder = os.environ.get("RELU_DEMO_WATCH", "")
    if os.path.isdir(folder):
        try:
            _hook(folder, here)
            _serve_edits(here)
        except Exception as error:
            _write(
                folder, {"event": "unwatched", "what": "this process", "why": "%s: %s" % (type(error).__name__, error)}
            )


def _write(folder, line):  # type: ignore[no-untyped-def]
    """Append a line to this process's own file."""
    import json

    line["pid"] = os.getpid()
    try:
        descriptor = os.open(
            os.path.join(folder, "%d.jsonl" % os.getpid()), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
        )
        try:
            os.write(descriptor, (json.dumps(line) + "\n").encode("utf-8", "backslashreplace"))
        finally:
            os.close(descriptor)
    except OSError:  # the command that started the program is gone
        pass


def _serve_edits(here):  # type: ignore[no-untyped-def]
    """Run the program from the edited sources that a trial is given."""
    path = os.environ.get("RELU_DEMO_EDITS")
    if path and sys.version_info >= (3, 11):
        import base64
        import json
        from importlib.util import module_from_spec, spec_from_file_location

        with open(path, encoding="utf-8") as file:
            texts = {name: base64.b64decode(text) for name, text in json.load(file).items()}
        trial = os.path.join(os.path.dirname(os.path.dirname(here)), "edits", "trial.py")
        spec = spec_from_file_location("_relu_demo_trial", trial)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        module.serve(texts)


def _hook(folder, here):  # type: ignore[no-untyped-def]
    """Have the watch begin once torch has been imported."""
    if sys.version_info < (3, 11):
        _write(
            folder, {"event": "unwatched", "what": "Python %d.%d" % sys.version_info[:2], "why": "the watch needs 3.11"}
        )
        return

    class AfterTorch:
        """Finds torch as Python would, and begins the watch behind its import."""

        @staticmethod
        def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
            if name != "torch" or AfterTorch not in sys.meta_path:
                return None
            sys.meta_path.remove(AfterTorch)
            from importlib.util import find_spec

            spec = find_spec(name)
            if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
                execute = spec.loader.exec_module

                def exec_module(module):  # type: ignore[no-untyped-def]
                    execute(module)
                    del spec.loader.exec_module
                    _watch(folder, here)

                spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, AfterTorch)
    _write(folder, {"event": "process", "python": sys.executable})


def _watch(folder, here):  # type: ignore[no-untyped-def]
    """Begin the watch, with this package's modules out of `sys.modules` again."""
    from importlib.util import module_from_spec, spec_from_file_location

    package = os.path.dirname(os.path.dirname(here))
    apart = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "relu_demo"}
    try:
        spec = spec_from_file_location(
            "relu_demo", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
        )
        module = sys.modules["relu_demo"] = module_from_spec(spec)
        spec.loader.exec_module(module)
        from relu_demo.watching.process.child import begin

        begin(folder, _write)
    except Exception as error:
        _write(folder, {"event": "unwatched", "what": "this process", "why": "%s: %s" % (type(error).__name__, error)})
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "relu_demo"]:
            del sys.modules[name]
        sys.modules.update(apart)


_begin()
