"""Faults are told from rounding, however small or coarse the numbers are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.nets import Net, kinds, only
from torch import Tensor, nn

from relu_demo.api import check


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(torch.float32, 1e-8), (torch.float32, 1e8), (torch.bfloat16, 1), (torch.float16, 1)],
    ids=["tiny", "large", "bfloat16", "float16"],
)
def test_a_fault_is_told_from_rounding_however_small_or_coarse_the_numbers_are(
    dtype: torch.dtype, scale: float
) -> None:
    def forward(net: Any, x: Tensor) -> Any:
        h = net.fc(x)
        return (net.last(net.act(h)) + h).softmax(-1) * scale

    if dtype == torch.float16 and torch.__version__ < "2.2":  # a TorchVersion, which compares numbers
        pytest.skip("this PyTorch has no float16 on the CPU")
    for act, fault in ((nn.ReLU(True), True), (nn.Hardtanh(-100, 100, True), False)):
        network = Net(forward, fc=nn.Linear(8, 8), last=nn.Linear(8, 8), act=act).to(dtype)
        report = check(network, torch.randn(5, 8, dtype=dtype))
        assert kinds(only(report)) == ["changes-result"] * fault
        assert report.as_written.differs == fault


def test_another_kernels_rounding_is_no_fault() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        return net.last(net.act(net.fc(x)[:, ::2]))

    act = nn.ELU(inplace=True)
    for seed in range(20):
        torch.manual_seed(seed)
        report = check(Net(forward, fc=nn.Linear(8, 8), last=nn.Linear(4, 4), act=act), torch.randn(50, 8))
        assert report.ok, str(report)
