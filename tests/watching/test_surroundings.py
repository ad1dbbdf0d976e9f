"""The watch where it is another: a fused optimizer, other dtypes, threads, another watch, and what is not watched."""

from __future__ import annotations

import importlib.util
import threading
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import relu_demo

Step = Callable[[bool], object]


def leaf() -> Tensor:
    return torch.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()


def plain(fault: bool) -> object:
    x = leaf()
    y = x.sigmoid()  # SAVES
    if fault:
        y.mul_(2)  # WRITES
    y.sum().backward()  # type: ignore[no-untyped-call]
    return x.grad


def same(a: object, b: object) -> bool:
    assert isinstance(a, Tensor)
    assert isinstance(b, Tensor)
    return torch.equal(a, b)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_a_fused_optimizer_counts_no_version_and_its_wrong_gradients_are_told(
    optimizer: type[torch.optim.Optimizer],
) -> None:
    try:
        optimizer([nn.Parameter(torch.ones(1))], lr=0.1, fused=True)  # type: ignore[call-arg]
    except (TypeError, RuntimeError) as error:
        pytest.skip(f"this PyTorch has no fused {optimizer.__name__} on the CPU: {error}")

    def step(fault: bool) -> object:
        layer = nn.Linear(3, 3, bias=False)
        nn.init.constant_(layer.weight, 0.5)
        opt = optimizer(layer.parameters(), lr=0.1, fused=True)  # type: ignore[call-arg]
        y = layer(layer(torch.ones(1, 3)))  # SAVES
        y.sum().backward(retain_graph=True)
        if fault:
            opt.step()  # WRITES
        y.sum().backward()
        return layer.weight.grad

    assert not same(step(True), step(False))
    with pytest.warns(relu_demo.SilentInplaceWarning, match="wrong gradients"), relu_demo.watch() as watch:
        step(True)
    (found,) = watch.report.findings
    assert found.saved_by is not None
    assert found.saved_by.source.endswith("# SAVES")
    assert [write.site.source for write in found.overwritten_by] == ["opt.step()  # WRITES"]


def functional_gradient(fault: bool) -> object:
    def body(x: Tensor) -> Tensor:
        y = x.sigmoid()
        if fault:
            y.mul_(2)
        return y.sum()

    return torch.func.grad(body)(leaf().detach())


def saved_as_a_copy(fault: bool) -> object:
    x = leaf()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: (tensor.clone(), 1), lambda packed: packed[0]):
        y = x.sigmoid()
    if fault:
        y.mul_(2)  # what was saved is a copy: PyTorch raises nothing
    y.sum().backward()  # type: ignore[no-untyped-call]
    return x.grad


def mismatched(fault: bool) -> object:
    return torch.ones(2) @ torch.ones(3 if fault else 2)


@pytest.mark.filterwarnings("ignore")
def test_what_save_on_cpu_keeps_of_a_tensor_on_the_cpu_is_no_copy() -> None:
    x = leaf()
    with relu_demo.watch() as watch:
        with torch.autograd.graph.save_on_cpu():
            y = x.sigmoid()
            y += y.exp()
        z = y.square()
        z.sum().backward()  # type: ignore[no-untyped-call]
    (found,) = watch.report.findings
    assert (found.kind, found.rule, found.tensor.name) == ("silent", "saved-tensors-hooks", "y")
    assert found.saved_by is not None
    assert found.saved_by.source == "y = x.sigmoid()"
    assert watch.report.saved == 3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("step", "what"), [(functional_gradient, ["torch.func"]), (saved_as_a_copy, []), (mismatched, [])]
)
@pytest.mark.parametrize("fault", [False, True])
def test_what_cannot_be_watched_does_as_without_a_watch_and_is_named(step: Step, what: list[str], fault: bool) -> None:
    def outcome() -> object:
        try:
            return step(fault)
        except RuntimeError as error:
            return str(error)

    plainly = outcome()
    with relu_demo.watch() as watch:
        watched = outcome()
    assert watched == plainly if isinstance(plainly, str) else same(plainly, watched)
    assert not watch.report.findings
    assert [each.what for each in watch.report.unwatched] == what


@pytest.mark.slow
def test_a_compiled_part_runs_uncompiled_is_named_and_its_fault_is_found() -> None:
    def body(x: Tensor) -> Tensor:
        y = x.sigmoid()
        y.mul_(2)
        return y

    with pytest.raises(relu_demo.InplaceError) as error, relu_demo.watch() as watch:
        torch.compile(body)(leaf()).sum().backward()  # type: ignore[no-untyped-call]
    assert [each.what for each in watch.report.unwatched] == ["torch.compile"]
    assert error.value.findings[0].overwritten_by[0].site.source == "y.mul_(2)"


def test_a_traceback_ends_at_the_users_line() -> None:
    with pytest.raises(relu_demo.InplaceError) as error, relu_demo.watch():
        nn.functional.relu(leaf(), inplace=True)
    assert [each.name for each in error.traceback] == ["test_a_traceback_ends_at_the_users_line"]


def test_inside_another_watch_it_is_that_one_once_more() -> None:
    with relu_demo.watch() as outer:
        with pytest.raises(relu_demo.InplaceError), relu_demo.watch() as inner:
            plain(True)
        plain(False)
    assert str(inner) == str(outer.report)
    assert repr(inner) == repr(outer.report)
    assert inner._repr_html_() == outer._repr_html_() != str(inner)
    assert (len(outer.report.findings), outer.report.backwards) == (1, 2)


def test_a_watch_that_is_entered_again_goes_on_counting() -> None:
    watch = relu_demo.watch()
    with watch:
        plain(False)
    with watch:
        plain(False)
    with watch, pytest.raises(relu_demo.InplaceError):
        plain(True)
    assert (watch.report.ok, watch.report.backwards) == (False, 3)


def test_two_threads_that_watch_each_see_their_own() -> None:
    found: dict[str, int] = {}
    both = threading.Barrier(2)

    def run(name: str, fault: bool) -> None:
        with relu_demo.watch() as watch:
            both.wait(30)
            if fault:
                with pytest.raises(relu_demo.InplaceError):
                    plain(True)
            else:
                plain(False)
            both.wait(30)
        found[name] = len(watch.report.findings)

    threads = [threading.Thread(target=run, args=each) for each in (("good", False), ("bad", True))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"good": 0, "bad": 1}


def test_silent_faults_are_errors_where_warnings_are() -> None:
    def step() -> None:
        y = leaf().sigmoid()
        y.data.mul_(2)
        y.sum().backward()  # type: ignore[no-untyped-call]

    with warnings.catch_warnings():
        warnings.simplefilter("error", relu_demo.SilentInplaceWarning)
        with pytest.raises(relu_demo.SilentInplaceWarning), relu_demo.watch():
            step()


def test_a_parameter_is_named_as_the_caller_of_the_module_knows_it() -> None:
    class Learner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def learn(self, x: Tensor) -> None:
            loss = self.fc(self.fc(x)).sum()
            with torch.no_grad():
                self.fc.weight.mul_(2)
            loss.backward()

    student = Learner()
    with pytest.raises(relu_demo.InplaceError) as raised, relu_demo.watch():
        student.learn(torch.ones(1, 2))
    assert [tensor.name for tensor in raised.value.findings[0].tensors] == ["student.fc.weight"]


def test_a_view_that_is_made_with_keyword_arguments_is_named_as_what_may_not_be_written_to() -> None:
    def write() -> None:
        view = torch.reshape(input=nn.Parameter(torch.ones(2, 3)), shape=(6,))
        view.mul_(2)

    with pytest.raises(relu_demo.InplaceError) as raised, relu_demo.watch():
        write()
    assert raised.value.saved is not None
    assert raised.value.saved.source.startswith("view = torch.reshape(")


def test_a_view_that_autograd_has_lost_may_be_used_as_without_a_watch() -> None:
    def step() -> Tensor:
        x = leaf() * 1
        with torch.no_grad():
            view = x.view_as(x)
        x.mul_(2)
        with torch.no_grad():
            view.add_(1)
        return view.detach()

    plainly = step()
    with relu_demo.watch() as watch:
        assert same(plainly, step())
    assert watch.report.ok


def test_a_hook_that_raises_later_in_that_backward_hides_no_fault() -> None:
    def stop(gradient: Tensor) -> None:
        raise ValueError("a hook that PyTorch would not have come to")

    def step(x: Tensor) -> None:
        y = x.sigmoid()
        x.register_hook(stop)  # type: ignore[no-untyped-call]
        y.mul_(2)
        y.sum().backward()  # type: ignore[no-untyped-call]

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        step(leaf())
    with pytest.raises(relu_demo.InplaceError), relu_demo.watch() as watch:
        step(leaf())
    assert [finding.kind for finding in watch.report.findings] == ["overwritten"]


@pytest.mark.skipif(torch.__version__ < "2.9", reason="before 2.9 no node tells what it has saved")
def test_values_that_a_backward_does_not_need_are_overwritten_past_autograd_without_a_finding() -> None:
    with relu_demo.watch() as watch:
        x, y = leaf() * 1, leaf().relu()
        z = nn.functional.prelu(x, torch.tensor([0.25]))
        for each in (x, y):
            each.data.mul_(2)  # they ask only where it is above zero
        (y + z).sum().backward()  # type: ignore[no-untyped-call]
    assert watch.report.ok


def test_a_module_that_edits_its_weight_at_each_call_means_it() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            self.scale.data.mul_(0.5)
            return x * self.scale

    net = Normed()
    with relu_demo.watch() as watch:
        (net(leaf()) + net(leaf())).sum().backward()
    assert watch.report.ok
    (look,) = watch.report.worth_a_look
    assert (look.name, look.rule) == ("net.scale", "data")
    assert look.written.source == "self.scale.data.mul_(0.5)"


def test_on_the_meta_device_no_value_is_told_to_be_overwritten() -> None:
    with relu_demo.watch() as watch:
        y = torch.ones(2, device="meta", requires_grad=True).exp()
        y.data.mul_(2)
        y.sum().backward()  # type: ignore[no-untyped-call]
    assert watch.report.ok


def test_a_write_in_a_thread_that_is_not_watched_was_not_seen() -> None:
    with relu_demo.watch():
        y = leaf().sigmoid()
        loss = y.sum()
        thread = threading.Thread(target=lambda: y.mul_(2))
        thread.start()
        thread.join()
        with pytest.raises(relu_demo.InplaceError) as error:
            loss.backward()  # type: ignore[no-untyped-call]
    assert "overwritten  the write was not seen: it ran where nobody could look" in str(error.value)


def test_who_looks_at_a_node_of_the_graph_is_told_as_pytorch_does() -> None:
    with relu_demo.watch() as watch:
        y = leaf().sigmoid()
        node: Any = y.grad_fn
        y.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation") as error:
            node._saved_result  # noqa: B018
    assert not isinstance(error.value, relu_demo.InplaceError)
    assert watch.report.ok


def test_anomaly_mode_shows_the_forward_without_frames_of_the_watch() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(relu_demo.InplaceError), relu_demo.watch(), torch.autograd.detect_anomaly():
            plain(True)
    (forward,) = (str(each.message) for each in caught if "Traceback of forward call" in str(each.message))
    assert "y = x.sigmoid()  # SAVES" in forward
    assert "relu_demo/watching" not in forward


def test_the_noise_that_rrelu_fills_itself_is_no_fault() -> None:
    with relu_demo.watch() as watch:
        net = nn.Sequential(nn.Linear(4, 4), nn.RReLU(inplace=True), nn.Linear(4, 4), nn.RReLU())
        net(torch.randn(8, 4)).sum().backward()
    assert watch.report.ok


def test_of_two_statements_in_a_line_the_one_that_writes_counts() -> None:
    with relu_demo.watch() as watch:
        momentum = torch.zeros(2)
        momentum.mul_(0.9).add_(1.0); step = momentum / 2  # noqa: E702  # fmt: skip
        assert step.sum() == 1
        twice = step.mul_(2)
        torch.mul(input=twice, other=2, out=step)
    assert watch.report.ok
    assert watch.report.worth_a_look == ()


def test_a_file_that_was_edited_after_its_import_is_not_shown_as_what_runs(tmp_path: Path) -> None:
    file = tmp_path / "step.py"
    file.write_text("def step(x):\n    y = x.sigmoid()\n    y.mul_(2)\n    y.sum().backward()\n")
    spec = importlib.util.spec_from_file_location("edited_step", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    file.write_text("def step(x):\n    # nothing is in place\n    y = x.sigmoid() * 2\n    y.sum().backward()\n")
    with pytest.raises(relu_demo.InplaceError) as error, relu_demo.watch():
        module.step(leaf())
    (found,) = error.value.findings
    assert found.overwritten_by[0].site.line == 3
    assert found.overwritten_by[0].site.source == ""
    assert found.cure.edits == ()
    assert found.cure.says == "step.py was edited after its import: run it again to see its lines"


def test_a_program_of_a_hundred_files_has_each_of_their_lines(tmp_path: Path) -> None:
    writes = []
    for number in range(100):
        path = tmp_path / f"part{number}.py"
        path.write_text("def write(y):\n    y.mul_(2)\n")
        names: dict[str, Any] = {}
        exec(compile(path.read_text(), str(path), "exec"), names)
        writes.append(names["write"])

    def program(numbers: Iterable[int]) -> None:
        y = torch.ones(2, requires_grad=True).exp()
        for number in numbers:
            writes[number](y)
        y.sum().backward()  # type: ignore[no-untyped-call]

    for numbers in ([0], range(100), [0]):
        with pytest.raises(relu_demo.InplaceError), relu_demo.watch() as watch:
            program(numbers)
        (finding,) = watch.report.findings
        assert [Path(write.site.file).name for write in finding.overwritten_by] == [f"part{n}.py" for n in numbers]
