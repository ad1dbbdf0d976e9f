"""Every edit that the check advises is made in a copy of the file, and the network of that is checked and run."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from support import faulty_networks
from support.nets import kinds
from torch import nn

from relu_demo.edits.edit import edited, united
from relu_demo.network.outcome import SUMMED_OTHERWISE, Outcome, difference, gradient_gap
from relu_demo.network.report import CheckReport
from relu_demo.network.runs import Runs
from relu_demo.network.suspects import Suspects
from relu_demo.network.target import load
from relu_demo.request import Check, Input
from relu_demo.sanitizer.layers import Layers
from relu_demo.scenarios import checked

FILE = Path(faulty_networks.__file__)
NAMES = [
    name
    for name, value in vars(faulty_networks).items()
    if inspect.isclass(value) and issubclass(value, faulty_networks.Used) and value is not faulty_networks.Used
]
KINDS = {
    "Gate": [["changes-result"]],
    "Skip": [["changes-result"]],
    "Given": [["overwrites-input"]],
    "Stale": [["breaks-backward"]],
}
"""What the writes whose result is used do."""
RELY_ON_THE_WRITE = ("DroppedFunction", "DroppedModule", "StatementsInARow")
"""These mean the write, and are right in the forward as written."""


def report_of(file: Path, name: str) -> CheckReport:
    request = Check(f"{file}:{name}", (Input((4, 4)),), seed=1, train=True)
    return checked(request, lambda done, total: None)


def run_of(file: Path, name: str, out_of_place: bool) -> Outcome:
    torch.manual_seed(1)
    network = load(f"{file}:{name}", 1)
    assert isinstance(network, nn.Module)
    runs = Runs(network, (torch.randn(4, 4),), {}, Layers())
    return runs.out_of_place if out_of_place else runs.as_written


@pytest.mark.parametrize("name", NAMES)
def test_with_its_edits_nothing_is_found_and_the_numbers_are_those_of_all_out_of_place(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Suspects, "may_spoil_gradients", True)  # else those of a network without suspects are not kept
    original, copy = tmp_path / f"before_{name}.py", tmp_path / f"after_{name}.py"
    original.write_bytes(FILE.read_bytes())
    report = report_of(original, name)
    assert report.has_fault
    assert [kinds(call) for call in report.calls if name in KINDS] == KINDS.get(name, [])
    assert all(cure.edits and not cure.tried for cure in report.cures)
    (text,) = edited(united(cure.edits for cure in report.cures)).values()
    copy.write_bytes(text)
    after = report_of(copy, name)
    assert not after.has_fault, after
    assert after.cures == ()
    if report.as_written.forward_error is not None:
        return  # PyTorch refuses the write: there are no numbers before
    wanted = run_of(original, name, out_of_place=name not in RELY_ON_THE_WRITE)
    found = run_of(copy, name, out_of_place=False)
    assert difference(wanted.result, found.result) == 0
    assert found.backward
    if wanted.backward and not report.harmful_writes:
        assert gradient_gap(wanted, found) <= SUMMED_OTHERWISE
