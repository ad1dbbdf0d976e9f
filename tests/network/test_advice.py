"""What a check advises for a switch, which belongs to a module and turns all of its calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from oracle.generator import network
from support.nets import Net, residual
from torch import Tensor, nn

from relu_demo.api import Report, check
from relu_demo.errors import NetworkError


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_a_switch_that_one_call_needs_off_is_advised_off_for_all_of_its_calls() -> None:
    report = check(residual(inplace=True), torch.randn(64, 4))
    assert [call.safe for call in report.calls] == [False, True]
    assert {call.switch for call in report.calls} == {"relu"}
    assert report.advice.turn_off == (0, 1)
    assert report.advice.verified


def test_a_switch_is_not_advised_on_where_one_of_its_calls_would_do_harm() -> None:
    report = check(residual(inplace=False), torch.randn(64, 4))
    assert report.ok
    assert report.advice.turn_on == ()


def test_nothing_is_advised_on_before_the_faults_are_mended_nor_where_it_saves_nothing() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        h = net.fc(x)
        return net.elu(net.fc(net.relu(h) + h))

    faulty: Any = Net(forward, relu=nn.ReLU(True), elu=nn.ELU())
    assert check(faulty, torch.randn(2, 4)).advice.turn_on == ()
    faulty.relu.inplace = False
    assert check(faulty, torch.randn(2, 4)).advice.turn_on == (1,)
    with torch.no_grad():
        report = check(nn.Sequential(nn.Linear(4, 4), nn.ELU()), torch.randn(2, 4))
    assert not report.advice.turn_on or report.advice.saves_live > 0 or report.advice.saves_peak > 0


@pytest.mark.slow
def test_whoever_follows_the_advice_module_by_module_comes_to_an_end() -> None:
    turned: Counter[bool] = Counter()
    for number in range(30):
        done: set[str] = set()
        program, inputs = network(number)
        try:
            report = check(program, *inputs)
        except NetworkError:
            continue
        while wanted := to_turn(report):
            assert not done & set(wanted), f"network {number}: a switch is turned twice"
            done |= set(wanted)
            turned.update(wanted.values())
            for path, on in wanted.items():
                program.get_submodule(path).inplace = on  # type: ignore[assignment]
            report = check(program, *inputs)
    assert turned[True]
    assert turned[False]


def to_turn(report: Report) -> dict[str, bool]:
    """Return the modules whose switch is to be turned, and how."""
    calls = {call.index: call for call in (*report.calls, *report.off)}
    advised = [(calls[i], False) for i in report.advice.turn_off] + [(calls[i], True) for i in report.advice.turn_on]
    return {call.switch: on for call, on in advised if call.switch is not None}
