"""Runs relu-demo in its virtual environment, which the first run makes: python scripts/run.py --compare."""

import sys

try:
    import os

    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

    import _python  # noqa: F401 - ends here where Python is too old
    from _environment import start

    if __name__ == "__main__":
        os.environ["RELU_DEMO_STARTED_AS"] = "python '%s'" % sys.argv[0]  # noqa: UP031 - must parse anywhere
        start(["packages", "project"], ["-m", "relu_demo"] + sys.argv[1:])  # noqa: RUF005 - must parse anywhere
except KeyboardInterrupt:
    sys.stderr.write("\n")  # the shell's prompt goes below the terminal's ^C
    sys.exit(130)
