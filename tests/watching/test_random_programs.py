"""The watch agrees with PyTorch itself on random programs: the same numbers, the same words, and both lines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from oracle.loops import loop_disagreements
from oracle.watched import watch_disagreements
from support.tiers import slow_but


@pytest.mark.parametrize("first", slow_but(1, range(0, 160, 40)))
def test_random_programs(first: int) -> None:
    tally: Counter[str] = Counter()
    assert [line for seed in range(first, first + 40) for line in watch_disagreements(seed, tally)] == []
    assert tally["programs that run"] > 10
    assert tally["programs that raise in backward"]
    assert tally["programs that PyTorch refuses"] > 3


@pytest.mark.parametrize("first", slow_but(1, range(0, 90, 30)))
def test_the_lines_of_random_loops(first: int, tmp_path: Path) -> None:
    tally: Counter[str] = Counter()
    assert [line for seed in range(first, first + 30) for line in loop_disagreements(seed, tmp_path, tally)] == []
    assert tally["loops that run"] > 10
    assert tally["loops that raise in backward"]
    assert tally["  stale tensors, by their lines"]
