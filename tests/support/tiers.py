"""The two tiers of the tests: what a plain run leaves out, and what only `--all` runs."""

from __future__ import annotations

import os

ALL = "RELU_DEMO_ALL_TESTS"
"""The variable that is set while all tests are run; it reaches the workers of pytest-xdist, too."""


def examples(all_of_them: int) -> int:
    """How many examples hypothesis draws for a test: a tenth in a plain run."""
    return all_of_them if ALL in os.environ else max(all_of_them // 10, 5)
