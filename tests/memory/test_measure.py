"""What `--memory` measures: bytes really allocated, in place and out of place, and why they are so."""

from __future__ import annotations

import gc
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.processes import COLD, PYTHON, ROOT, command_environment
from support.tiers import examples, pinned

import relu_demo.memory.measure
from relu_demo.memory.allocator import listen
from relu_demo.memory.measure import COPY, INPUT, RESULT, layer_saves, measure
from relu_demo.memory.report import Figures, Measurement
from relu_demo.memory.situations import (
    ACTIVATIONS,
    bytes_needed,
    situations,
)
from relu_demo.request import Measure

SMALL = Measure((1, 4, 8, 8), depth=2)

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def table() -> dict[str, Measurement]:
    return {found.situation.key: found for found in measure(Measure())}


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own that has imported torch before `code` runs, so that import warnings are not in the way."""
    start = "import os, json, dataclasses, torch\n"
    return subprocess.run(
        [*PYTHON, "-W", "ignore", "-c", start + code],
        check=False,
        cwd=ROOT,
        env=command_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
    )


MEASURE = """
from relu_demo.machine.pytorch import load_torch
load_torch()
from relu_demo.memory.measure import measure
from relu_demo.request import Measure
found = [dataclasses.asdict(each) for each in measure(Measure((2, 16, 24, 24), depth=3))]
"""


# The shape of the table, with any PyTorch


def test_the_rows_are_the_repl_the_relu_chains_and_the_other_activations() -> None:
    rows = situations(Measure(depth=5))
    assert [row.key for row in rows] == [
        "repl",
        "conv_relu_no_grad",
        "conv_relu_training",
        "conv_batchnorm_relu_no_grad",
        "conv_batchnorm_relu_training",
        *(f"conv_{name.lower()}_training" for name in ACTIVATIONS),
    ]
    assert [row.depth for row in rows] == [1] + [5] * 10
    assert [row.key for row in rows if row.both_names] == ["repl"]
    assert [row.training for row in rows] == ["no_grad" not in row.key for row in rows]


def test_each_row_has_bytes_and_a_reason() -> None:
    found = measure(SMALL)
    assert tuple(each.situation for each in found) == situations(SMALL)
    for each in found:
        assert each.unit == 4 * 8 * 8 * 4
        assert 0 < len(each.why) <= 110
        for figures in (each.out_of_place, each.in_place):
            assert each.unit <= figures.live <= figures.peak


def test_the_reason_fits_the_figures() -> None:
    for each in measure(SMALL):
        if each.why.endswith(f"keeps {INPUT}; in place {RESULT}"):
            assert each.in_place.live < each.out_of_place.live, each.situation.title
        elif each.situation.training and not each.situation.both_names:
            assert each.in_place.live == each.out_of_place.live, each.situation.title


def test_what_is_saved_is_read_from_the_node() -> None:
    assert layer_saves(torch.nn.ReLU(), "cpu") == (RESULT,)
    assert layer_saves(torch.nn.Sigmoid(), "cpu") == (RESULT,)
    assert layer_saves(torch.nn.SiLU(), "cpu") == (INPUT,)
    assert layer_saves(torch.nn.SiLU(inplace=True), "cpu") == (COPY,)
    assert layer_saves(torch.nn.BatchNorm2d(3), "cpu") == (INPUT,)
    assert layer_saves(torch.nn.Identity(), "cpu") == ()


def test_without_grad_the_live_bytes_do_not_grow_with_depth_and_in_training_they_do() -> None:
    found = [each for depth in range(1, 5) for each in measure(Measure(SMALL.shape, depth))]
    for norm in (None, "BatchNorm2d"):
        relu = [each for each in found if each.situation.activation == "ReLU" and not each.situation.both_names]
        chain = [each for each in relu if each.situation.norm == norm]
        assert len({each.in_place.live for each in chain if not each.situation.training}) == 1
        live = [each.in_place.live for each in chain if each.situation.training]
        assert live == sorted(set(live))


def test_progress_is_told_before_the_first_row_and_after_each() -> None:
    told: list[tuple[int, int]] = []
    measure(SMALL, lambda done, of: told.append((done, of)))
    assert told == [(done, 11) for done in range(12)]


# The pinned PyTorch's figures, in units of one activation


@pinned
@pytest.mark.parametrize(
    ("key", "out_of_place", "in_place"),
    [
        ("repl", (2, 2), (1, 2)),
        ("conv_relu_no_grad", (1, 3), (1, 3)),
        ("conv_relu_training", (8, 9), (8, 9)),
        ("conv_batchnorm_relu_training", (16, 17), (16, 16)),
        ("conv_leakyrelu_training", (16, 16), (8, 9)),
        ("conv_elu_training", (16, 16), (8, 9)),
        ("conv_relu6_training", (16, 16), (16, 16)),
        ("conv_silu_training", (16, 16), (16, 16)),
        ("conv_mish_training", (16, 16), (16, 16)),
        ("conv_hardswish_training", (16, 16), (16, 16)),
    ],
)
def test_figures(
    table: dict[str, Measurement], key: str, out_of_place: tuple[int, int], in_place: tuple[int, int]
) -> None:
    found = table[key]
    assert found.unit == 16 * 64 * 64 * 4
    for figures, expected in ((found.out_of_place, out_of_place), (found.in_place, in_place)):
        assert (round(figures.live / found.unit, 1), round(figures.peak / found.unit, 1)) == expected


@pinned
def test_bytes_are_exact_down_to_batch_norms_mean_and_deviation(table: dict[str, Measurement]) -> None:
    found = table["conv_batchnorm_relu_training"]
    vectors = 8 * 2 * 16 * 4  # blocks, two vectors, channels, bytes
    assert found.in_place.live == 16 * found.unit + vectors


# Determinism


def test_the_number_of_threads_is_left_as_it_was() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        measure(SMALL)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@slow
def test_a_chain_measured_with_many_threads_has_the_bytes_of_one() -> None:
    code = """
from relu_demo.memory.measure import measure
from relu_demo.request import Measure
request = Measure((1, 16, 272, 272), depth=2)  # large enough to be left to all threads
found = [dataclasses.asdict(each) for each in measure(request)]
print(json.dumps(found))
"""
    one, two = (python(code, OMP_NUM_THREADS=threads, OMP_WAIT_POLICY="passive") for threads in ("1", "2"))
    assert (one.returncode, two.returncode) == (0, 0), one.stderr
    assert one.stdout == two.stdout


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        listen(lambda: torch.zeros(10), "cpu")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_what_was_there_before_does_not_count() -> None:
    before = [torch.zeros(100_000) for _ in range(10)]

    def forward() -> torch.Tensor:
        before.clear()
        return torch.zeros(10)

    assert listen(forward, "cpu")[0] == Figures(40, 40, "aten::zeros")


# Nothing that C++ prints reaches the reader


def test_garbage_freed_meanwhile_prints_nothing_and_does_not_count() -> None:
    # a reference cycle that holds a tensor is what the garbage collector frees at a moment of its own
    run = python(
        MEASURE
        + """
import gc, torch
from relu_demo.memory.allocator import listen
def forward():
    for _ in range(2000):
        cycle = []
        cycle.append(cycle)
    return torch.ones(16)
gc.collect()
for _ in range(50):
    cycle = [torch.zeros(1000)]
    cycle.append(cycle)
del cycle
print(listen(forward, "cpu")[0].live, gc.isenabled())
"""
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "64 True\n", "")


def test_the_profiler_prints_nothing_and_stderr_works_between_situations() -> None:
    run = python(
        """
from relu_demo.machine.pytorch import load_torch
load_torch()
from relu_demo.memory.measure import measure
from relu_demo.request import Measure
measure(Measure((1, 2, 4, 4), depth=1), lambda done, of: os.write(2, b"%d/%d " % (done, of)))
"""
    )
    assert (run.returncode, run.stdout) == (0, "")
    assert run.stderr == " ".join(f"{done}/11" for done in range(12)) + " "


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2)])
def test_closed_descriptors_stay_closed(closed: tuple[int, ...], tmp_path: Path) -> None:
    report = tmp_path / "report"
    run = python(
        f"""
for fd in {closed}: os.close(fd)
{MEASURE}
open_again = []
for fd in {closed}:
    try: os.fstat(fd); open_again.append(fd)
    except OSError: pass
with open({str(report)!r}, "w") as file: json.dump([len(found), open_again], file)
os._exit(0)
"""
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(report.read_text()) == [11, []]


def test_quiet_stops_what_is_written_to_the_descriptors_and_lets_an_exception_through() -> None:
    run = python(
        """
from relu_demo.memory.allocator import quiet
lowest = os.dup(0); os.close(lowest)
with quiet():
    os.write(1, b"out"); os.write(2, b"err")
os.write(1, b"after")
try:
    with quiet():
        os.write(2, b"err")
        raise KeyError("a real fault")
except KeyError as error:
    os.write(2, str(error).encode())
left = os.dup(0)
os.write(1, b" none left open" if left == lowest else b" a descriptor is left open")
"""
    )
    assert (run.stdout, run.stderr) == ("after none left open", "'a real fault'")


def test_a_fault_in_the_forward_is_seen_and_the_next_measurement_works() -> None:
    def faulty() -> torch.Tensor:
        return torch.zeros(2, 3) @ torch.zeros(2, 3)

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        listen(faulty, "cpu")
    figures, held = listen(lambda: torch.zeros(10), "cpu")
    assert (figures.live, figures.peak, held.shape) == (40, 40, (10,))


# What is refused


def test_pure_data_without_torch() -> None:
    code = "import sys, relu_demo.memory.situations as m; m.bytes_needed(m.Measure()); print('torch' in sys.modules)"
    run = subprocess.run([*COLD, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout == "False\n", run.stderr


@settings(max_examples=examples(15))
@example(shape=(1, 64, 2, 2), depth=8)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(2, 40), st.integers(2, 40)),
    depth=st.integers(1, 4),
)
def test_bytes_needed_is_never_less_than_what_any_situation_takes(shape: tuple[int, int, int, int], depth: int) -> None:
    request = Measure(shape, depth)
    channels = shape[1]
    weights = depth * (9 * channels + 1) * channels * 4
    for each in measure(request):
        most = max(each.out_of_place.peak, each.in_place.peak) + each.unit + weights
        assert most <= bytes_needed(request), each.situation.title


def test_bytes_needed_is_not_far_more_than_what_is_taken(table: dict[str, Measurement]) -> None:
    most = max(max(each.out_of_place.peak, each.in_place.peak) for each in table.values())
    assert bytes_needed(Measure()) < 2 * most


# On another device


def test_weights_and_input_are_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def spy(forward: Callable[[], Any], device: str) -> tuple[Figures, Any]:
        assert device == "meta"
        held = forward()
        assert all(tensor.device.type == "meta" for tensor in held)
        return Figures(1, 1), held

    monkeypatch.setattr(relu_demo.memory.measure, "listen", spy)
    monkeypatch.setattr(relu_demo.memory.measure, "layer_saves", lambda layer, device: (device,))
    found = measure(Measure(SMALL.shape, depth=2, device="meta"))
    assert {each.in_place for each in found} == {Figures(1, 1)}
    assert "ELU's backward keeps meta, not its input" in {each.why for each in found}


def test_on_cuda_only_what_the_second_forward_takes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_now = {"live": 1000, "peak": 9999}
    devices = set()

    def told(what: str) -> Callable[[torch.device], int]:
        def tell(device: torch.device) -> int:
            devices.add(str(device))
            return bytes_now[what]

        return tell

    def reset(device: torch.device) -> None:
        devices.add(str(device))
        bytes_now["peak"] = bytes_now["live"]

    def forward() -> torch.Tensor:
        # What the first one takes stays for good.
        bytes_now["live"] += 500 if bytes_now["live"] == 1000 else 40
        bytes_now["peak"] = max(bytes_now["peak"], bytes_now["live"] + 30)
        return torch.zeros(10)

    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: devices.add(str(device)))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    monkeypatch.setattr(torch.cuda, "memory_allocated", told("live"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", told("peak"))
    figures, held = listen(forward, "cuda:1")
    assert figures == Figures(40, 70)
    assert held.shape == (10,)
    assert devices == {"cuda:1"}


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


@cuda
def test_on_cuda_the_bytes_are_the_allocators() -> None:
    size = 2**20
    torch.zeros(1, device="cuda")
    before = torch.cuda.memory_allocated()
    figures, held = listen(lambda: torch.zeros(size, device="cuda"), "cuda")
    assert figures.live == figures.peak == torch.cuda.memory_allocated() - before == 4 * size
    del held
    assert torch.cuda.memory_allocated() == before
    figures, held = listen(lambda: torch.zeros(size, device="cuda") + 1, "cuda")
    assert figures.live == torch.cuda.memory_allocated() - before == 4 * size
    assert figures.peak == torch.cuda.max_memory_allocated() - before == 8 * size
    del held


@cuda
def test_on_cuda_every_row_has_at_least_its_result() -> None:
    for each in measure(Measure(device="cuda")):
        for figures in (each.out_of_place, each.in_place):
            assert each.unit <= figures.live <= figures.peak
