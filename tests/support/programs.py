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
    since: tuple[int, int] = (3, 10)
    """The first Python that can run it."""

    @property
    def is_module(self) -> bool:
        """Whether it is run as `python -m` runs it."""
        return self.target not in self.files and "/" not in self.target


def script(source: str, *arguments: str, stdin: str = "", since: tuple[int, int] = (3, 10), **files: str) -> Program:
    """A program of main.py and modules beside it."""
    beside = {f"{name}.py": text for name, text in files.items()}
    return Program({"main.py": source, **beside}, arguments=arguments, stdin=stdin, since=since)


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

LOUD = """
class Loud:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        print("deleted", self.name)
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

GROUP = (
    FAILS
    + """
errors = []
for call in (lambda: f(1), lambda: int("x"), lambda: {}["y"]):
    try:
        call()
    except Exception as error:
        error.add_note("a note")
        errors.append(error)
raise ExceptionGroup("several", [errors[0], ExceptionGroup("inner", errors[1:])])
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

THREADS = """
import atexit, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
atexit.register(print, "atexit")
def late():
    time.sleep(0.1)
    print("thread", threading.main_thread().is_alive(), threading.active_count() > 0)
def fails():
    raise ValueError("in a thread")
threading.Thread(target=late, name="late").start()
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
t = threading.Thread(target=fails, name="fails"); t.start(); t.join()
t = threading.Thread(target=sys.exit, args=(9,)); t.start(); t.join()
pool = ThreadPoolExecutor(1)
pool.submit(time.sleep, 0.2)
pool.submit(print, "from the pool")
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

SOURCES = """
from __future__ import annotations
import copy, dataclasses, inspect, pickle, typing
@dataclasses.dataclass
class Point:
    x: int
    y: list[Point] = dataclasses.field(default_factory=list)
    kind: typing.ClassVar[str] = "point"
def step(p: Point) -> Point:
    # a comment
    return p
p = Point(1, [Point(2)])
print(pickle.loads(pickle.dumps(p)) == p, copy.deepcopy(p) == p)
print(inspect.getsource(step), inspect.getsource(Point), inspect.getfile(Point), inspect.getmodule(step).__name__)
print(typing.get_type_hints(step), typing.get_type_hints(Point), dataclasses.fields(Point)[0].type)
print(step.__module__, Point.__module__, Point.__qualname__, repr(Point))
import __main__, main
print(__main__.Point is Point, main.Point is Point)
"""

OF_OURS = ("html", "shlex", "colorsys", "rich", "difflib", "inspect", "dataclasses")
"""Modules that this program imports, or a report of it."""

PROGRAMS: dict[str, Program] = {
    "place": script(PLACE, "--epochs", "1", "-m", "--", "x y", ""),
    "place in a folder": Program({"sub/main.py": PLACE}, "sub/main.py"),
    "place with dots": Program({"sub/main.py": PLACE}, "./sub/../sub/main.py"),
    "place without .py": Program({"tool": PLACE}, "./tool"),
    "odd name": Program({"a b-ü.py": PLACE}, "a b-ü.py"),
    "flags": Program({"main.py": PLACE}, flags=("-O", "-B", "-u", "-X", "dev", "-W", "error::UserWarning")),
    "isolated": Program({"main.py": PLACE}, flags=("-s",), environment={"PYTHONWARNINGS": "error"}),
    "safe path": Program({"main.py": PLACE + "import neighbour", "neighbour.py": ""}, flags=("-P",), since=(3, 11)),
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
    "package with main": Program({"pkg/__init__.py": "", "pkg/__main__.py": MODULE_PLACE}, "pkg"),
    "package without init": Program({"pkg/sub/__main__.py": MODULE_PLACE}, "pkg.sub"),
    "module imported before it runs": Program({"pkg/__init__.py": "import pkg.place", "pkg/place.py": ""}, "pkg.place"),
    "module that fails": Program(
        {"pkg/__init__.py": "", "pkg/bad.py": "print('out')\n" + CHAINED, "neighbour.py": ""}, "pkg.bad"
    ),
    "module that exits": Program({"bad.py": "import sys; print('out'); sys.exit('text')"}, "bad"),
    "package that fails": Program(
        {"pkg/__init__.py": "import pkg.bad", "pkg/bad.py": FAILS + "f(1)", "pkg/m.py": ""}, "pkg.m"
    ),
    "package that misses a module": Program({"pkg/__init__.py": "import nowhere", "pkg/m.py": ""}, "pkg.m"),
    "module atexit": Program({"ends.py": ATEXIT}, "ends"),
    "module with processes": Program({"pkg/__init__.py": "", "pkg/work.py": PROCESSES}, "pkg.work", ("fork",)),
    "neighbours and data": script(
        "import neighbour; print(neighbour.__file__, open('data.txt').read() if 0 else open('main.py').read())",
        neighbour="x = 1",
    ),
    "stdin": script("import sys; print(input()); print(repr(sys.stdin.read()), sys.stdin.isatty())", stdin="a\nb\nc"),
    "no end of line": script("import os, sys; sys.stdout.write('x'); sys.stderr.write('y'); os.write(1, b'z')"),
    "exit": script("import sys; print('out'); sys.exit()"),
    "exit 0": script("import sys; sys.exit(0)"),
    "exit 3": script("import sys; sys.exit(3)"),
    "exit -1": script("import sys; sys.exit(-1)"),
    "exit 256": script("import sys; sys.exit(256)"),
    "exit 2**40 + 3": script("import sys; sys.exit(2**40 + 3)"),
    "exit True": script("import sys; sys.exit(True)"),
    "exit text": script("import sys; print('out'); sys.exit('tëxt')"),
    "exit tuple": script("raise SystemExit(1, 'two')"),
    "exit float": script("raise SystemExit(1.0)"),
    "exit class": script("raise SystemExit"),
    "exit subclass": script("class E(SystemExit):\n    code = 'mine'\nraise E(3)"),
    "exit without stderr": script("import sys; sys.stderr = None; sys.exit('text')"),
    "exit builtin": script("exit(5)"),
    "exit in finally": script("try:\n    1 / 0\nfinally:\n    raise SystemExit(4)"),
    "exit at once": script("import os; print('kept in the buffer'); os._exit(6)"),
    "argparse": script("import argparse; argparse.ArgumentParser().parse_args()", "--what"),
    "fails": script("print('out')\n" + FAILS + "f(3)"),
    "fails in a neighbour": script("import neighbour\nneighbour.g([])", neighbour="def g(x):\n    return x[3]\n"),
    "fails in an import": script("import neighbour", neighbour="import nowhere_at_all"),
    "fails chained": script(CHAINED, neighbour="def g(x):\n    return x[3]\n"),
    "fails in a group": script(GROUP, since=(3, 11)),
    "fails with a cause of its own": script(
        "try:\n    1 / 0\nexcept Exception as e:\n    e.__cause__ = e; raise ValueError from None"
    ),
    "fails with bad words": script("class E(Exception):\n    def __str__(self): raise ValueError\nraise E"),
    "fails with a base exception": script("class E(BaseException): pass\nraise E('x')"),
    "fails again": script("import sys\ntry:\n    1 / 0\nexcept Exception:\n    e = sys.exc_info()[1]\nraise e"),
    "fails without context": script("import sys\nprint(sys.exc_info())\ndef f():\n    raise KeyError('x')\nf()"),
    "fails in a generator": script("def g():\n    yield 1\n    raise RuntimeError('x')\nlist(g())"),
    "fails in exec": script("exec(compile('def f():\\n    1 / 0\\nf()', 'made up', 'exec'))"),
    "fails in json": script("import json\njson.loads('{')"),
    "fails at a last value": script(
        "import atexit, sys\n"
        "atexit.register(lambda: print(sys.last_type, sys.last_value, sys.last_traceback.tb_lineno))\n1 / 0"
    ),
    "syntax error in a neighbour": script("import neighbour", neighbour="x = 1\ndef f(:\n"),
    "syntax error in eval": script("eval('1 +')"),
    "hook": script(
        "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno, sys.exc_info())\n1 / 0"
    ),
    "hook walks": script(
        "import sys, traceback\ndef hook(t, e, tb):\n    traceback.print_exception(t, e, tb, file=sys.stdout)\n"
        "    print(e.__traceback__ is tb, traceback.extract_tb(tb))\nsys.excepthook = hook\n1 / 0"
    ),
    "hook fails": script(
        "import sys\ndef hook(*a):\n    raise ValueError('of the hook')\nsys.excepthook = hook\n1 / 0"
    ),
    "hook exits": script("import sys\nsys.excepthook = lambda *a: sys.exit(8)\n1 / 0"),
    "hook deleted": script("import sys\ndel sys.excepthook\n1 / 0"),
    "hook before exit": script("import sys\nsys.excepthook = print\nsys.exit('text')"),
    "fails without stderr": script("import sys\nsys.stderr = None\n1 / 0"),
    "fails after stdout was closed": script("import sys\nsys.stdout.close()\n1 / 0"),
    "stdout replaced": script(
        "import io, sys\nsys.stdout = io.StringIO()\nprint('lost')\nsys.stderr = sys.__stdout__\n1 / 0"
    ),
    "locale cannot write": Program(
        {"main.py": "print('ok'); print('\\u20ac')"}, environment={"PYTHONIOENCODING": "ascii"}
    ),
    "locale cannot write exit": Program(
        {"main.py": "raise SystemExit('\\u20ac')"}, environment={"PYTHONIOENCODING": "ascii"}
    ),
    "interrupted": script("print('out')\nraise KeyboardInterrupt"),
    "interrupted by a signal": script(
        "import os, signal, time\nprint(signal.getsignal(signal.SIGINT))\ndef f():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(9)\ntry:\n    f()\nfinally:\n    print('cleaned')"
    ),
    "interrupted waiting for threads": script(
        "import atexit, os, signal, threading, time\natexit.register(print, 'atexit')\n"
        "def f():\n    time.sleep(0.3)\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(0.5)\n"
        "threading.Thread(target=f).start()"
    ),
    "terminated": script(
        "import os, signal, time\nprint('x', flush=True)\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(9)"
    ),
    "own signal handler": script(
        "import os, signal, sys\nsignal.signal(signal.SIGINT, lambda *a: sys.exit(11))\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "import time; time.sleep(9)"
    ),
    "asyncio": script("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    1 / 0\nasyncio.run(f())"),
    "atexit": script(ATEXIT),
    "atexit after an error": script(ATEXIT + "1 / 0"),
    "atexit after exit": script(ATEXIT + "sys.exit('text')"),
    "atexit and the folder": script("import atexit, os\natexit.register(lambda: print(os.getcwd()))\nos.chdir('/')"),
    "temporary folder": script("import tempfile\nt = tempfile.TemporaryDirectory()\nprint('made')", since=(3, 10)),
    "threads": script(THREADS),
    "threads after an error": script(THREADS + "1 / 0"),
    "threads after exit": script(THREADS + "sys.exit('text')"),
    "deleted globals": script(LOUD + "a = Loud('a'); b = Loud('b'); c = [Loud('c')]; c.append(c)"),
    "deleted globals without functions": script(
        "import neighbour\na = neighbour.Loud('a'); b = neighbour.Loud('b')", neighbour=LOUD
    ),
    "deleted locals after exit": script(
        LOUD + "import atexit, sys\natexit.register(print, 'atexit')\ndef f():\n    x = Loud('x')\n    sys.exit(1)\nf()"
    ),
    "deleted locals after an error": script(
        LOUD + "import atexit\natexit.register(print, 'atexit')\ndef f():\n    x = Loud('x')\n    1 / 0\nf()"
    ),
    "logging": script(
        "import logging\nlogging.basicConfig(level=10)\nlogging.info('said')\nlogging.error('x', exc_info=True)"
    ),
    "unittest": script(
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.skipTest('x')\n"
        "unittest.main(argv=['x', '-q', '--locals'], verbosity=0, exit=False)\nprint('end')"
    ),
    "doctest": script(
        "def f():\n    '''\n    >>> f()\n    2\n    '''\n    return 1\nimport doctest\n"
        "raise SystemExit(doctest.testmod()[0])"
    ),
    "processes fork": script(PROCESSES, "fork"),
    "processes spawn": script(PROCESSES, "spawn", "--watch"),
    "processes forkserver": script(PROCESSES, "forkserver"),
    "processes not joined": script(
        "import multiprocessing as m, time\ndef f():\n    time.sleep(0.2); print('child', flush=True)\n"
        "if __name__ == '__main__':\n"
        "    m.get_context('fork').Process(target=f).start()\n    print('main ends', flush=True)"
    ),
    "itself as a process": script(
        "import subprocess, sys\nprint(sys.argv, flush=True)\nif len(sys.argv) < 3:\n"
        "    sys.exit(subprocess.run([*sys.orig_argv, 'more', 'and more']).returncode + 2)"
    ),
    "fork ends": script(FORK.format(child="pass")),
    "fork exits": script(FORK.format(child="sys.exit('text')")),
    "fork fails": script(FORK.format(child="1 / 0")),
    "exec": script(
        "import os, sys\nif len(sys.argv) < 2:\n    os.execv(sys.executable, [*sys.orig_argv, 'again'])\n"
        "print(sys.argv)"
    ),
    "sources": script(SOURCES),
    "futures are not inherited": script("def f(x: print('evaluated')): pass\nprint(f.__annotations__)", since=(3, 10)),
    "main replaced": script("import sys\nsys.modules['__main__'] = None\nprint(__file__)"),
    "main deleted": script("import sys\ndel sys.modules['__main__']\nprint(__file__)"),
    "modules deleted": script(
        "import sys\nfor name in ('os', 'traceback', 'runpy', 'importlib'):\n    sys.modules.pop(name, None)\n1 / 0"
    ),
    "path emptied": script("import sys\nsys.path.clear()\nsys.meta_path.clear()\nsys.argv = None\nprint('x')"),
    "warnings": script(
        "import warnings\nwarnings.warn('a warning')\nwarnings.warn('old', DeprecationWarning)\n"
        "print(warnings.filters)\n"
        "warnings.simplefilter('error')\nwarnings.warn('an error')"
    ),
    "warnings are errors": Program({"main.py": "import warnings; warnings.warn('x')"}, flags=("-W", "error")),
    "syntax warning": script("x = 1\nprint(x is 1)"),
    "syntax warning is an error": Program({"main.py": "x = 1\nprint(x is 1)"}, flags=("-W", "error")),
    "asserts off": Program({"main.py": "assert 0\nprint(__debug__)"}, flags=("-O",)),
    "deleted attributes": script("import sys\ndel sys.stdout, sys.displayhook, sys.stdin"),
    "trace function": script(
        "import sys\ndef trace(frame, event, arg):\n    if 'main.py' in frame.f_code.co_filename:\n"
        "        print(event, frame.f_lineno)\n    return trace\nsys.settrace(trace)\ndef f():\n    return 1\nf()"
    ),
    "bytecode": script("import neighbour, os\nprint(sorted(os.listdir('__pycache__')))", neighbour=""),
    "comes again": script("import main\nprint(__name__)"),
    "cookie": Program({"main.py": "# -*- coding: latin-1 -*-\nprint(ascii('\u00c3\u00a9'))"}),
    "byte order mark": Program({"main.py": "\ufeffprint('x')"}),
    "carriage returns": Program({"main.py": "print('''a\r\nb''')\r\n1 / 0\r\n"}),
    "no last line end": script("print('x')\n1 / 0 # the end"),
    "empty": script(""),
    "doc": script("'''the doc'''\nprint(__doc__)"),
    "relative import": script("from . import neighbour", neighbour=""),
    "neighbours called like ours": Program(
        {
            "main.py": f"import {', '.join(OF_OURS)}\nprint([m.mine for m in ({', '.join(OF_OURS)})])",
            **{f"{name}.py": f"print({name!r}, 'of the user'); mine = {name!r}" for name in OF_OURS},
        }
    ),
    "neighbour called like a package": Program(
        {
            "main.py": "import rich, importlib.util\nprint(rich.__path__, rich.text.x)\n"
            "print(importlib.util.find_spec('rich').origin)",
            "rich/__init__.py": "from . import text",
            "rich/text.py": "x = 'mine'",
        }
    ),
    "script called like ours": Program(
        {"difflib.py": "import difflib; print(difflib.__file__, __name__)"}, "difflib.py"
    ),
    "module called like ours": Program({"difflib.py": "import difflib; print(difflib.__file__, __name__)"}, "difflib"),
}
