"""Training loops without a fault: the watch finds nothing, and what they learn is the same bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from support.loops import LOOPS
from support.tiers import slow_but
from torch import Tensor

import relu_demo


@pytest.mark.parametrize("train", slow_but(6, LOOPS), ids=[train.__name__ for train in LOOPS])
def test_nothing_is_found_and_the_numbers_are_the_same(train: Callable[[], Tensor]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", relu_demo.SilentInplaceWarning)
        torch.manual_seed(0)
        plainly = train()
        torch.manual_seed(0)
        with relu_demo.watch() as watch:
            watched = train()
    assert watch.report.findings == ()
    assert watch.report.worth_a_look == ()
    assert watch.report.backwards
    assert torch.equal(plainly, watched)
