"""The public functions, called as `relu_demo.check(...)` in a notebook or a test. Each report shows itself.

report = relu_demo.check(model, torch.randn(1, 3, 224, 224))
assert report.ok, report
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from relu_demo.network.check import examine
from relu_demo.network.report import CheckReport


@dataclass(frozen=True)
class Report(CheckReport):
    """The report of `check`: its data, which show themselves as the tables of `relu-demo --check`."""

    def __str__(self) -> str:
        from relu_demo.views.check import report_text

        return report_text(self)

    def __rich__(self) -> Any:
        from relu_demo.views.check import CheckScreen

        return CheckScreen(self)

    def _repr_html_(self) -> str:
        from relu_demo.views.check import report_html

        return report_html(self)


def check(model: nn.Module, *inputs: Any, train: bool | None = None, **kwargs: Any) -> Report:
    """Return which in-place calls of a network are safe, which are not, and why.

    Run `model(*inputs, **kwargs)` under watch, settle each suspect by real runs, and leave no trace: the model, the
    caller's tensors and the random generators are as before, bit for bit. Every pass sees the same random numbers.

    `inputs` and `kwargs` may hold any tensors, in containers too. On device meta a suspect stays a suspect where only
    values could tell. `train` sets `model.train(train)` for the check; None leaves each module as built.

    Autograd records the forward exactly if it would where `check` is called: under `torch.no_grad()` the check is one
    of inference, and no backward is tried. The loss of the trial backward is a fixed weighting of every output that
    requires grad.

    Raise BadInput if `model` is no module, has lazy parameters, or runs only unwatched. Raise NetworkError, with the
    network's own error as its cause, if the forward raises even with everything out of place.

    In-place semantics: https://pytorch.org/docs/stable/notes/autograd.html#in-place-operations-with-autograd
    """
    found = examine(model, inputs, kwargs, train)
    return Report(**{field.name: getattr(found, field.name) for field in fields(found)})


# The functions to come, `show` and `watch`, have their place here.
