"""Calls a function of a file or module in a process of its own: `python call.py FOLDER SOURCE NAME [ARG]...`."""

import difflib
import importlib
import os
import sys
from types import TracebackType
from typing import Any


def _called(folder: str, source: str, name: str) -> None:
    sys.path[0] = folder
    module = importlib.import_module(os.path.basename(source)[:-3] if source.endswith(".py") else source)
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            near = difflib.get_close_matches(part, dir(value), n=1)
            print(f"relu-demo: {source} has no {name!r}{f'; did you mean {near[0]}?' if near else ''}", file=sys.stderr)
            sys.exit(2)
        value = getattr(value, part)
    result = value()
    if hasattr(result, "send"):
        sys.exit(f"{name} gave a {type(result).__name__}, of which nothing has run; give a function that runs it")


def _from_users_on(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame of the user's code on."""
    before = __file__, importlib.__file__, "<frozen importlib"
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(before):
        trace = trace.tb_next
    return trace


if __name__ == "__main__":
    _folder, _source, _name = sys.argv[1:4]
    sys.argv[:] = [_source, *sys.argv[4:]]
    try:
        _called(_folder, _source, _name)
    except Exception as _error:
        _error.__traceback__ = _from_users_on(_error.__traceback__)
        sys.excepthook(type(_error), _error, _error.__traceback__)
        sys.exit(1)
