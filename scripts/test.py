"""Runs the tests in a virtual environment, which the first run makes: python scripts/test.py -x.

Without arguments it runs all that take a few seconds, on up to four cores; --all runs the slow ones, too.
"""

import sys

try:
    import os

    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

    import _python  # noqa: F401 - ends here where Python is too old
    from _environment import PROJECT, start

    if __name__ == "__main__":
        os.chdir(PROJECT)
        if sys.argv[1:] in ([], ["--all"]):
            # pytest puts these before the arguments. Whoever gives some of his own may want a debugger: no workers.
            os.environ["PYTEST_ADDOPTS"] = " ".join(
                ["-n auto --maxprocesses 4 --dist worksteal", os.environ.get("PYTEST_ADDOPTS", "")]
            )
        start(["packages", "project", "tests"], ["-m", "pytest"] + sys.argv[1:])  # noqa: RUF005 - must parse anywhere
except KeyboardInterrupt:
    sys.stderr.write("\n")  # the shell's prompt goes below the terminal's ^C
    sys.exit(130)
