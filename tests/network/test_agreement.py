"""The check agrees with brute force on every call of random networks."""

from __future__ import annotations

import warnings
from collections import Counter

import pytest
import torch
from oracle.agree import disagreements, disagreements_on
from oracle.generator import ODD
from torch import Tensor, nn


def test_a_few_random_networks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [line for seed in range(6) for line in disagreements(seed, Counter())] == []


@pytest.mark.slow
def test_random_networks() -> None:
    tally: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrong = [line for seed in range(ODD, ODD + 100) for line in disagreements(seed, tally)]
    assert wrong == []
    assert tally["in-place calls"] > 60
    assert tally["  safe"] > 30
    assert tally["  could safely be on, and the report says so"] > 5
    assert tally["networks run as advised"] > 40
    assert tally["networks"] > 70  # some raise, whatever the switches, and are not compared


class Scattered(nn.Module):
    """Reduces into a tensor in place, and has sparse inputs, gradients and results."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(4, 4, sparse=True)

    def forward(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        y = self.rows(torch.arange(3)).exp()
        z = y.scatter_reduce_(1, torch.zeros(3, 4, dtype=torch.int64), x, "sum")
        return (y + z).to_sparse(), torch.sparse.mm(weights, y)


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_what_is_sparse_is_compared(layout: torch.layout) -> None:
    tally: Counter[str] = Counter()

    def make() -> tuple[nn.Module, list[Tensor]]:
        torch.manual_seed(0)
        weights = torch.eye(3).to_sparse() if layout is torch.sparse_coo else torch.eye(3).to_sparse_csr()
        return Scattered(), [torch.randn(3, 4), weights]

    assert disagreements_on("scattered", make, tally) == []
    assert tally["in-place calls"] == 1


class Items(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        state = [x * 2, x.exp()]
        state[0] += 1
        state[1] *= 2
        return state


def test_items_of_a_list_are_compared() -> None:
    tally: Counter[str] = Counter()
    x = torch.randn(3)
    assert disagreements_on("items", lambda: (Items(), [x.clone().requires_grad_()]), tally) == []
    assert tally["in-place calls"] == 2
    assert tally["  breaks-backward"] == 1
