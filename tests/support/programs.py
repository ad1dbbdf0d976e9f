"""Small programs whose output and exit code tell how they were run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Program:
    """Files in a folder, and how Python is started there: `python FLAGS TARGET ARGUMENTS`."""

    files: dict[str, str]
    target: str = "main.py"
    """A file, or the name of a module, for `python -m`."""
    arguments: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    stdin: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def is_module(self) -> bool:
        """Whether it is run as `python -m` runs it."""
        return self.target not in self.files and "/" not in self.target


def script(source: str, *arguments: str, stdin: str = "", **files: str) -> Program:
    """A program of main.py and modules beside it."""
    beside = {f"{name}.py": text for name, text in files.items()}
    return Program({"main.py": source, **beside}, arguments=arguments, stdin=stdin)


PLACE = """
import os, sys
print(list(globals()))
print(__name__, __file__, __spec__, __package__, __cached__, __doc__, type(__builtins__).__name__)
print(type(__loader__).__name__, __loader__.name, __loader__.path)
print(globals().get("__annotations__"), sys.modules["__main__"].__dict__ is globals())
print(sys.argv, sys.path, os.getcwd(), sys.flags, sys.warnoptions, sys._xoptions)
print(sys.orig_argv)
"""

MODULE_PLACE = """
import os, sys
print(list(globals()))
print(__name__, __file__, __spec__.name, __spec__.origin, __spec__.parent, repr(__package__), __cached__, __doc__)
print(type(__loader__).__name__, __loader__.name, __loader__.path)
print(sys.modules["__main__"].__dict__ is globals(), sys.argv, sys.path, os.getcwd(), sys.flags)
print(sys.orig_argv, "pkg.place" in sys.modules)
"""

FAILS = """
def f(n):
    if n:
        return f(n - 1)
    return 1 / 0
"""

CHAINED = (
    FAILS
    + """
import neighbour
try:
    try:
        f(2)
    except ZeroDivisionError:
        neighbour.g([])
except IndexError as error:
    raise RuntimeError("the end") from error
"""
)

ATEXIT = """
import atexit, sys, os
def last():
    print("first registered", "__file__" in globals(), sys.modules["__main__"].__dict__ is globals())
    atexit.register(print, "registered late")
atexit.register(last)
def bad():
    raise ValueError("in a handler")
atexit.register(bad)
atexit.register(lambda: sys.exit(3))
atexit.register(print, "last registered", file=sys.stderr)
print("main ends")
"""

PROCESSES = """
import multiprocessing, os, sys
class Held:
    def __init__(self, n):
        self.n = n
def double(held):
    print("in", __name__, sys.argv, os.path.basename(sys.modules["__main__"].__file__), flush=True)
    return Held(held.n * 2)
print("imported as", __name__, flush=True)
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(1) as pool:
        print(pool.map(double, [Held(4)])[0].n, flush=True)
    process = context.Process(target=sys.exit, args=(7,))
    process.start()
    process.join()
    print(process.exitcode, flush=True)
    process = context.Process(target=int, args=("x",), name="fails")
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""

FORK = """
import atexit, os, sys
atexit.register(lambda: print("atexit", role, flush=True))
role = "parent"
child = os.fork()
if child == 0:
    role = "child"
    print("child runs on", flush=True)
    {child}
else:
    print("child ended with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

OF_OURS = ("html", "shlex", "colorsys", "rich", "difflib", "inspect", "dataclasses")
"""Modules that this program imports, or a report of it."""

PROGRAMS: dict[str, Program] = {
    "place": script(PLACE, "--epochs", "1", "-m", "--", "x y", ""),
    "place in a folder": Program({"sub/main.py": PLACE}, "sub/main.py"),
    "flags": Program({"main.py": PLACE}, flags=("-O", "-B", "-u", "-X", "dev", "-W", "error::UserWarning")),
    "isolated": Program({"main.py": PLACE}, flags=("-s",), environment={"PYTHONWARNINGS": "error"}),
    "safe path": Program({"main.py": PLACE + "import neighbour", "neighbour.py": ""}, flags=("-P",)),
    "module": Program({"place.py": MODULE_PLACE}, "place", ("1", "-m")),
    "module of a package": Program(
        {
            "pkg/__init__.py": "import sys; print('init', sys.argv, __name__)",
            "pkg/place.py": "from . import other\n" + MODULE_PLACE,
            "pkg/other.py": "print(__name__)",
        },
        "pkg.place",
        ("1",),
    ),
    "stdin": script("import sys; print(input()); print(repr(sys.stdin.read()), sys.stdin.isatty())", stdin="a\nb\nc"),
    "exit 2**40 + 3": script("import sys; sys.exit(2**40 + 3)"),
    "exit text": script("import sys; print('out'); sys.exit('tëxt')"),
    "fails chained": script(CHAINED, neighbour="def g(x):\n    return x[3]\n"),
    "hook": script(
        "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno, sys.exc_info())\n1 / 0"
    ),
    "fails without stderr": script("import sys\nsys.stderr = None\n1 / 0"),
    "locale cannot write": Program(
        {"main.py": "print('ok'); print('\\u20ac')"}, environment={"PYTHONIOENCODING": "ascii"}
    ),
    "interrupted": script("print('out')\nraise KeyboardInterrupt"),
    "terminated": script(
        "import os, signal, time\nprint('x', flush=True)\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(9)"
    ),
    "atexit": script(ATEXIT),
    "atexit after an error": script(ATEXIT + "1 / 0"),
    "processes fork": script(PROCESSES, "fork"),
    "processes spawn": script(PROCESSES, "spawn", "--watch"),
    "fork exits": script(FORK.format(child="sys.exit('text')")),
    "exec": script(
        "import os, sys\nif len(sys.argv) < 2:\n    os.execv(sys.executable, [*sys.orig_argv, 'again'])\n"
        "print(sys.argv)"
    ),
    "modules deleted": script(
        "import sys\nfor name in ('os', 'traceback', 'runpy', 'importlib'):\n    sys.modules.pop(name, None)\n1 / 0"
    ),
    "path emptied": script("import sys\nsys.path.clear()\nsys.meta_path.clear()\nsys.argv = None\nprint('x')"),
    "deleted attributes": script("import sys\ndel sys.stdout, sys.displayhook, sys.stdin"),
    "trace function": script(
        "import sys\ndef trace(frame, event, arg):\n    if 'main.py' in frame.f_code.co_filename:\n"
        "        print(event, frame.f_lineno)\n    return trace\nsys.settrace(trace)\ndef f():\n    return 1\nf()"
    ),
    "bytecode": script("import neighbour, os\nprint(sorted(os.listdir('__pycache__')))", neighbour=""),
    "neighbours called like ours": Program(
        {
            "main.py": f"import {', '.join(OF_OURS)}\nprint([m.mine for m in ({', '.join(OF_OURS)})])",
            **{f"{name}.py": f"print({name!r}, 'of the user'); mine = {name!r}" for name in OF_OURS},
        }
    ),
    "script called like ours": Program(
        {"difflib.py": "import difflib; print(difflib.__file__, __name__)"}, "difflib.py"
    ),
}
