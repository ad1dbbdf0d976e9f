"""Standard output is free for a report, whatever way a script prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])

PRINTS = """
import os, subprocess, sys
from relu_demo.script.stdout import stdout_for_report
print("before")
with stdout_for_report() as report:
    print("print")
    print("old stream", file=sys.__stdout__)
    sys.stdout.flush()
    os.write(1, b"descriptor\\n")
    subprocess.run([sys.executable, "-c", "print('subprocess')"])
    report.write("the report: \\u20ac\\n")
    print("last")
    END
print("after", flush=True)
"""


def run(end: str, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", PRINTS.replace("END", end)],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": ROOT, **environment},
    )
    return done.returncode, done.stdout, done.stderr


MOVED = "print\nold stream\ndescriptor\nsubprocess\nlast\n"


def test_all_output_of_the_script_goes_to_stderr() -> None:
    assert run("pass", PYTHONIOENCODING="utf-8") == (0, "before\nthe report: \u20ac\nafter\n", MOVED)


def test_what_the_locale_cannot_write_is_escaped() -> None:
    assert run("pass", PYTHONIOENCODING="ascii")[1] == "before\nthe report: \\u20ac\nafter\n"


def test_an_error_puts_it_back() -> None:
    code, out, err = run("1 / 0")
    assert (code, out.splitlines()[0]) == (1, "before")
    assert err.startswith(MOVED)


def test_what_runs_after_sys_exit_is_moved_too() -> None:
    end = "import atexit; atexit.register(print, 'atexit'); sys.exit(3)"
    assert run(end, PYTHONIOENCODING="utf-8") == (3, "before\nthe report: \u20ac\n", MOVED + "atexit\n")


@pytest.mark.skipif(os.name != "posix", reason="needs to close a descriptor before Python starts")
def test_a_closed_stderr_takes_nothing_from_the_report() -> None:
    source = PRINTS.replace("END", "pass").replace("subprocess.run", "str")
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, source],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": ROOT, "PYTHONIOENCODING": "utf-8"},
    )
    assert (done.returncode, done.stdout) == (0, "before\nthe report: \u20ac\nafter\n")
