"""The two tiers of the tests: what a plain run leaves out, and what only `--all` runs."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from typing import Any

import pytest
import torch

ALL = "RELU_DEMO_ALL_TESTS"
"""The variable that is set while all tests are run; it reaches the workers of pytest-xdist, too."""


def examples(all_of_them: int) -> int:
    """How many examples hypothesis draws for a test: five in a plain run."""
    return all_of_them if ALL in os.environ else 5


def slow_but(number: int, cases: Iterable[Any]) -> list[Any]:
    """Return the cases of a test for `parametrize`, all slow but the first `number`: the rest is more of the same."""
    ready = list(cases)
    more = [case if isinstance(case, tuple) else (case,) for case in ready[number:]]
    return [*ready[:number], *(pytest.param(*values, marks=pytest.mark.slow) for values in more)]


pinned = pytest.mark.skipif(
    not torch.__version__.startswith("2.13.")
    or platform.machine().lower() not in ("x86_64", "amd64")
    or not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="the figures are those of PyTorch 2.13 with oneDNN on x86-64",
)
