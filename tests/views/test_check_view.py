"""What a terminal and a notebook show of a report."""

from __future__ import annotations

import html
import io
import re
from typing import Any

import pytest
import torch
from rich.console import Console
from support.nets import Net
from torch import Tensor, nn

from relu_demo.api import Report, check


class Marked(nn.Module):
    """Modules with rich markup in their names."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("[bold red]a[/]", nn.Linear(4, 4))
        self.add_module("[link=x]b", nn.ReLU(inplace=True))
        self.add_module("[/nothing]c", nn.SELU())

    def forward(self, x: Tensor) -> Any:
        a, b, c = self.children()
        h = a(x)
        return b(h) + h, c(a(x))


@pytest.fixture(scope="module")
def report() -> Report:
    torch.manual_seed(0)
    return check(Marked(), torch.randn(8, 4))


def shown(report: Report, width: int, colour: bool = False) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=colour, color_system="truecolor" if colour else None).print(report)
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_fits_the_terminal(report: Report, width: int) -> None:
    assert max(map(len, shown(report, width).splitlines())) <= width


def test_names_with_markup_are_shown_as_they_are(report: Report) -> None:
    for text in (shown(report, 200), html.unescape(re.sub("<[^>]*>", "", report._repr_html_()))):
        assert "[link=x]b (ReLU)" in text
    mended = Marked()
    mended.get_submodule("[link=x]b").inplace = False  # type: ignore[assignment]
    assert "selu in [/nothing]c" in shown(check(mended, torch.randn(8, 4)), 200)


def test_the_verdict_is_a_word(report: Report) -> None:
    text = shown(report, 80)
    assert "cure  build [link=x]b (ReLU) with inplace=False" in text
    assert "Could be on" not in text  # not before the fault is mended
    assert text.rstrip().splitlines()[-1].startswith("1 of 1 in-place call is not safe: test_check_view.py:")
    coloured = shown(report, 80, colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == text


def test_a_list_that_is_cut_says_how_many_are_left_out() -> None:
    class Reread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU(inplace=True)
            self.readers = nn.ModuleList(nn.Linear(4, 4) for _ in range(12))

        def forward(self, x: Tensor) -> Any:
            h = x * 2
            return self.act(h), [reader(h) for reader in self.readers]

    report = check(Reread(), torch.randn(8, 4))
    assert len(report.calls[0].readers) == 12
    text = " ".join(shown(report, 200).split())
    assert re.search(r"later read by (linear in readers\.\d \([^)]*\)(, )?){8} and 4 more", text)


def test_a_call_whose_result_is_dropped_is_not_merely_to_be_turned_off() -> None:
    class Dropped(nn.Module):
        def forward(self, x: Tensor) -> Any:
            h, k = x.exp(), x * 3
            nn.functional.relu(h, inplace=True)
            return h, nn.functional.elu(k, inplace=True), k

    lines = [line.split() for line in shown(check(Dropped(), torch.randn(8, 4, requires_grad=True)), 200).splitlines()]
    assert ["+", "h", "=", "nn.functional.relu(h,", "inplace=False)"] in lines
    assert ["+", "return", "h,", "nn.functional.elu(k,", "inplace=False),", "k"] in lines


def test_a_notebook_gets_html(report: Report) -> None:
    page = report._repr_html_()
    assert page.startswith("<pre")
    assert re.search('<span style="[^"]*color: #[^"]*">FAULT</span>', page)


def test_a_write_that_is_refused_is_the_forwards_own_error() -> None:
    assert "PyTorch raises in the forward" in shown(check(nn.ReLU(True), torch.randn(2, 4, requires_grad=True)), 80)


def test_where_all_is_well_it_is_one_line() -> None:
    network = nn.Sequential(*(layer for _ in range(50) for layer in (nn.Linear(4, 4), nn.ReLU(True))))
    (line,) = shown(check(network, torch.randn(2, 4)), 200).splitlines()
    assert (
        line
        == "Sequential: 50 in-place calls, all safe (training, recorded by autograd, on cpu; report.calls lists them)"
    )


def test_faults_come_first_and_the_calls_of_one_line_are_one_row() -> None:
    def unit() -> nn.Module:
        return Net(lambda net, x: skip(net, net.fc(x)), fc=nn.Linear(4, 4), relu=nn.ReLU(True))

    def skip(net: Any, h: Tensor) -> Any:
        return net.relu(h) + h

    units = nn.Sequential(nn.Linear(4, 4), nn.ReLU(True), *(unit() for _ in range(12)))
    text = " ".join(shown(check(units, torch.randn(64, 4)), 200).split())
    assert text.count("FAULT") == 1
    alike = re.search(r"likewise (\d+) more calls of this line: in (\d+\.relu, ){7}\d+\.relu and (\d+) more", text)
    assert alike
    assert int(alike[1]) == int(alike[3]) + 8 > 8
    assert "safe; report.calls lists" in text
