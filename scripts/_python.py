"""Ends with one line where Python is too old for this project; it parses and runs on any Python, 2.7 too."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is the very check
    sys.stderr.write(
        "relu-demo needs Python 3.11 or newer, and this is Python %d.%d: "  # noqa: UP031
        "run the script with a newer one, as in python3.12 %s\n"
        % (sys.version_info[0], sys.version_info[1], sys.argv[0])
    )
    sys.exit(2)
