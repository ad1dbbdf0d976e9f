"""A network made of a function, and short questions to its report."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils import dlpack

from relu_demo.network.report import Call, CheckReport


class Net(nn.Module):
    """A network with a layer `fc`, a ReLU in place `act`, and a forward that is a function of itself and its input."""

    def __init__(self, run: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, part in {"fc": nn.Linear(4, 4), "act": nn.ReLU(inplace=True), **parts}.items():
            self.add_module(name, part)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(self, *args, **kwargs)


def written(folder: Path, *lines: str, **more: Any) -> Net:
    """Return a network with a forward of these lines; the first is line 2."""
    file = folder / "forward.py"
    file.write_text("\n    ".join(["def forward(net, x):", *lines]) + "\n")
    names: dict[str, Any] = {"torch": torch, "F": F, "operator": operator, "functools": functools, "dlpack": dlpack}
    names.update(more)
    exec(compile(file.read_text(), str(file), "exec"), names)
    return Net(names["forward"])


def residual(inplace: bool) -> nn.Module:
    """Return a unit that calls its one ReLU twice: the first call overwrites what the skip reads."""

    def forward(net: Any, x: Tensor) -> Any:
        h = net.fc(x)
        y = net.fc(net.relu(h)) + h
        return net.relu(y)

    return Net(forward, fc=nn.Linear(4, 4), relu=nn.ReLU(inplace))


class Squared(torch.autograd.Function):
    """Keeps its input where PyTorch does not know of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.x = x
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        result: Tensor = 2 * ctx.x * grad
        return result


def kinds(call: Call) -> list[str]:
    """The kinds of its effects."""
    return [effect.kind for effect in call.effects]


def only(report: CheckReport) -> Call:
    """The one in-place call that there is."""
    (call,) = report.calls
    return call


def line_of(text: str) -> int:
    """The first line of the calling file with this text in it."""
    with open(inspect.stack()[1].filename, encoding="utf-8") as lines:
        return next(i for i, line in enumerate(lines, 1) if text in line)
