"""The watch agrees with PyTorch itself on random programs: the same numbers, the same words, and both lines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from oracle.loops import loop_disagreements
from oracle.watched import watch_disagreements
from support.tiers import slow_but

ONCE_WRONG = [53, 62, 102, 144, 459, 793, 847, 890, 924, 1677, 1891, 2798, 11006, 27064, 101226]
"""Seeds on which an earlier version of the watch was wrong."""


@pytest.mark.parametrize("first", slow_but(1, range(0, 400, 40)))
def test_random_programs(first: int) -> None:
    tally: Counter[str] = Counter()
    assert [line for seed in range(first, first + 40) for line in watch_disagreements(seed, tally)] == []
    assert tally["programs that run"] > 10
    assert tally["programs that raise in backward"]
    assert tally["programs that PyTorch refuses"] > 3


@pytest.mark.parametrize("seed", slow_but(5, ONCE_WRONG))
def test_seeds_that_were_once_wrong(seed: int) -> None:
    assert watch_disagreements(seed, Counter()) == []


@pytest.mark.parametrize("first", slow_but(1, range(0, 300, 30)))
def test_the_lines_of_random_loops(first: int, tmp_path: Path) -> None:
    tally: Counter[str] = Counter()
    assert [line for seed in range(first, first + 30) for line in loop_disagreements(seed, tmp_path, tally)] == []
    assert tally["loops that run"] > 10
    assert tally["loops that raise in backward"]
    assert tally["  stale tensors, by their lines"]
