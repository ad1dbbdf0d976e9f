"""What a watched program prints is what it prints without a watch: its warnings, tracebacks and streams."""

from __future__ import annotations

import re
import threading
import warnings
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from support.watched_program import plainly, watch, without_numpy
from torch.utils._python_dispatch import TorchDispatchMode

import relu_demo

pytestmark = pytest.mark.skipif(torch.__version__ < "2.6", reason="watching takes PyTorch 2.6")

MSE = """
import torch
import torch.nn.functional as F

model = torch.nn.Linear(3, 1)
x, y = torch.randn(4, 3), torch.randn(4)
loss = F.mse_loss(model(x), y)
loss.backward()
"""
FILTERED = """
import warnings

import torch
import torch.nn.functional as F

warnings.filterwarnings("ignore", message="Using a target size", module="__main__")
opt = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], 0.1)
sched = torch.optim.lr_scheduler.StepLR(opt, 1)
sched.step()
for n in (1, 2):
    F.mse_loss(torch.ones(4, 1), torch.ones(4))
    F.l1_loss(torch.ones(4, 1), torch.ones(4))
    torch.ones(3).expand(2, 3)[torch.tensor([[True, False, True]] * 2)] = 0.5
"""
LOGS = """
import logging, warnings, torch
logging.captureWarnings(True)
logging.basicConfig(format="%(message)s")
torch.nn.functional.mse_loss(torch.ones(4, 1), torch.ones(4))
def old():
    warnings.warn("old", DeprecationWarning, stacklevel=2)
old()
"""
IN_A_THREAD = """
import threading, torch
def step():
    y = torch.ones(2, requires_grad=True).exp()
    y.mul_(2)
    y.sum().backward()
t = threading.Thread(target=step, name="step")
t.start()
t.join()
"""
RAISES = """
import torch
def f(x):
    return torch.nn.functional.relu(x)
try:
    f(3)
except Exception as error:
    raise RuntimeError("outer") from error
"""
PROGRAMS = {
    "warnings, plain and in a log": MSE + LOGS,
    "filters by module": FILTERED,
    "tracebacks of a thread and with a cause": IN_A_THREAD + RAISES,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_prints_what_it_prints_without_a_watch(tmp_path: Path, name: str) -> None:
    (tmp_path / "train.py").write_text(PROGRAMS[name])
    plain, done = plainly(tmp_path, "train.py"), watch(tmp_path, "train.py")
    assert done.out == plain.stdout
    assert printed(done.err) == printed(plain.stderr) != ""


def printed(text: str) -> str:
    """What was printed, without what the watch leaves out of PyTorch's words: the node, and the hint."""
    words = re.sub(r", which is output \d+ of \w+,|\. Hint: .*", "", without_numpy(text))
    return words.strip()


def test_warnings_have_the_users_line_in_a_block_too() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with relu_demo.watch():
            torch.nn.functional.mse_loss(torch.ones(4, 1), torch.ones(4))
    (warning,) = caught
    assert warning.filename == __file__
    assert "mse_loss" in Path(__file__).read_text().splitlines()[warning.lineno - 1]


def test_a_mode_of_the_users_counts_the_operators_that_it_counts_without_a_watch() -> None:
    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            counted[str(operator)] += 1
            return operator(*args, **(kwargs or {}))

    counts = []
    blocks: tuple[AbstractContextManager[object], ...] = nullcontext(), relu_demo.watch()
    for block in blocks:
        net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU(inplace=True), torch.nn.Linear(3, 1))
        counted: Counter[str] = Counter()
        with block, Count():  # type: ignore[no-untyped-call]
            net(torch.ones(2, 3)).exp().sum().backward()
        counts.append(counted)
    assert counts[0] == counts[1]


def test_two_watches_that_overlap_in_two_threads_leave_nothing_replaced() -> None:
    def replaced() -> list[object]:
        hooks = torch.autograd.graph.disable_saved_tensors_hooks
        return [torch.jit.trace, torch.jit.trace_module, torch.compile, torch.cond, hooks, warnings.warn]

    before = replaced()
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    inside = []

    def first() -> None:
        with relu_demo.watch():
            first_in.set()
            second_in.wait(60)
        first_out.set()

    def second() -> None:
        first_in.wait(60)
        with relu_demo.watch():
            second_in.set()
            first_out.wait(60)
            inside.extend(replaced())

    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(now is not then for now, then in zip(inside, before, strict=True))
    assert all(now is then for now, then in zip(replaced(), before, strict=True))


def test_what_was_not_watched_is_told_to_the_watch_of_its_thread() -> None:
    with relu_demo.watch() as ours:
        reports = []

        def other() -> None:
            with relu_demo.watch() as theirs:
                torch.jit.trace(torch.relu, torch.ones(1), check_trace=False)  # type: ignore[no-untyped-call]
                reports.append(theirs.report)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert [each.what for each in reports[0].unwatched] == ["torch.jit.trace"]
    assert ours.report.unwatched == ()
