"""A check leaves no trace: network, tensors, hooks and random numbers are as before, bit for bit."""

from __future__ import annotations

import array
import collections
import copy
import functools
import io
import itertools
import random
import sys
import tempfile
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from support.nets import Net, Squared, kinds, only, written
from torch import Tensor, nn
from torch.nn.utils import parametrize

from relu_demo.api import check
from relu_demo.errors import NetworkError
from relu_demo.tensors.storage import key_of, storage_of


class Busy(nn.Module):
    """Everything that a forward can leave behind."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5, inplace=True)
        self.act = nn.LeakyReLU(0.1, inplace=True)
        self.table = nn.Embedding(5, 4, max_norm=0.1)  # writes to its weight in the forward
        self.register_buffer("seen", torch.zeros(4))
        self.count = 0
        self.history: list[Any] = [{"a": 1}]
        self.fail = False
        self.unregistered = torch.ones(4)
        self.register_buffer("joined", torch.zeros(3, 4))

    def forward(self, x: Tensor) -> Any:
        self.count += 1
        self.history.append(self.count)
        self.history[0]["a"] += 1
        self.features = self.fc(x)
        self.seen = self.seen + self.features.detach().sum(0)
        self.unregistered.add_(1)
        self.get_buffer("joined").add_(self.features)  # gives the buffer a grad_fn
        F.relu(self.seen, inplace=True)
        self.fc.weight.data.mul_(0.9)
        self.fc.weight.requires_grad_(False)
        self.norm.eval()
        y = self.drop(self.act(self.norm(self.features)))
        y = y + self.table(torch.arange(4)).sum(0) + random.random() + torch.rand(4)
        self.extra = nn.Linear(2, 2)
        x.data.mul_(2)
        if self.fail:
            raise ValueError("as asked")
        return F.relu(torch.sigmoid(self.features), inplace=True) + y + F.elu(x, inplace=True)


def everything(network: Busy) -> dict[str, Any]:
    found: dict[str, Any] = {"random numbers": (torch.get_rng_state().tolist(), random.getstate())}
    for path, module in network.named_modules():
        own = [(name, str(value)) for name, value in vars(module).items() if name not in ("_parameters", "_buffers")]
        found[f"{path} itself"] = own
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        grad = tensor.grad if tensor.is_leaf else None
        found[name] = tensor.tolist(), tensor.requires_grad, tensor.is_leaf, id(tensor), tensor.data_ptr()
        found[f"{name}.grad"] = id(grad), grad if grad is None else grad.tolist()
    return found


@pytest.mark.parametrize(("fail", "train"), [(False, None), (False, False), (True, True)])
def test_bit_for_bit(fail: bool, train: bool | None) -> None:
    torch.manual_seed(0)
    network = Busy()
    network.fail = fail
    network.fc(torch.randn(2, 4)).sum().backward()  # there are gradients
    x = torch.randn(3, 4)
    before, x_before, version = everything(network), x.clone(), x._version
    if fail:
        with pytest.raises(NetworkError, match=r"ValueError: as asked \(.*test_no_trace.py:\d+\)"):
            check(network, x, train=train)
    else:
        assert not check(network, x, train=train).ok
    assert everything(network) == before
    assert torch.equal(x, x_before)
    assert x._version == version
    assert not hasattr(network, "features")


def test_the_callers_graph_still_runs_backward() -> None:
    network = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4))
    leaf = torch.randn(2, 4, requires_grad=True)
    x = torch.sigmoid(leaf)
    check(network, x)
    assert leaf.grad is None
    x.sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None


def test_an_optimizer_in_backward_takes_no_step() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    weight = network.get_parameter("0.weight")
    steps: list[Tensor] = []
    weight.register_post_accumulate_grad_hook(steps.append)  # type: ignore[no-untyped-call]
    assert check(network, torch.randn(2, 4)).ok
    assert steps == []


def test_no_mode_or_hook_stays_behind() -> None:
    network, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)), torch.randn(2, 4)
    check(network, x)
    h = network[0](x)
    assert network[1](h) is h
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_an_input_that_is_the_networks_own_parameter() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    weight = network.get_parameter("0.weight")
    before = weight.detach().clone()
    assert check(network, weight).ok
    assert torch.equal(weight, before)


class Slots:
    __slots__ = ("first", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.first, self.tensor = None, tensor

    def get(self) -> Tensor:
        return self.tensor


class Derived(Slots):
    """With slots above, and a dictionary of its own."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__(torch.ones(1))
        self.own = tensor


class Listed(list[Any]):
    """A list that holds something beside its items."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__([1])
        self.beside = [tensor]


class Frozen(NamedTuple):
    tensor: Tensor
    label: str


class Locked(dict[str, Any]):
    def __setitem__(self, key: str, value: Any) -> None:
        raise TypeError("not to be changed")


class Single:
    """There is one, and no copy of it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("there is one")


def deep(inner: Any, more: int) -> Any:
    return deep([inner], more - 1) if more else inner


HOLDERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "deque": (lambda x: collections.deque([x], maxlen=3), lambda held: held[0]),
    "set": (lambda x: {x}, lambda held: next(iter(held))),
    "slots": (Slots, lambda held: held.tensor),
    "slots and more": (Derived, lambda held: held.own),
    "a list with more": (Listed, lambda held: held.beside[0]),
    "named tuple": (lambda x: Frozen(x, "label"), lambda held: held.tensor),
    "namespace": (lambda x: types.SimpleNamespace(x={"x": x}), lambda held: held.x["x"]),
    "mapping of a class": (lambda x: collections.UserDict(x=x), lambda held: held["x"]),
    "partial": (lambda x: functools.partial(max, x), lambda held: held.args[0]),
    "method": (lambda x: Slots(x).get, lambda held: held()),
    "PyTorch's own tuple": (lambda x: torch.return_types.max((x, x)), lambda held: held.values),
    "deep": (lambda x: deep(x, 50), lambda held: [held := held[0] for _ in range(50)][-1]),
}
UNCOPIED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "an object": (Single, lambda held: held.tensor),
    "locked": (lambda x: Locked(x=x), lambda held: held["x"]),
    "values": (lambda x: {"x": x}.values(), lambda held: next(iter(held))),
    "read-only": (lambda x: types.MappingProxyType({"x": [x]}), lambda held: held["x"][0]),
}
"""How a tensor can be held, and how it is taken from there; of the latter no copy can be made."""


@pytest.mark.parametrize(("hold", "take"), [*HOLDERS.values(), *UNCOPIED.values()], ids=[*HOLDERS, *UNCOPIED])
def test_a_tensor_is_found_in_whatever_holds_it(hold: Any, take: Any) -> None:
    x = torch.randn(3, 4)
    given = hold(x)
    before = take(given).clone()
    report = check(Net(lambda net, held: net.fc(F.relu(take(held), inplace=True))), given)
    assert [effect.kind for call in report.calls for effect in call.effects][-1] == "overwrites-input"
    assert torch.equal(take(given), before)
    result = check(Net(lambda net, x: [hold(h := net.fc(x)), net.act(h)]), torch.randn(3, 4))
    assert [effect.kind for call in result.calls for effect in call.effects] == ["changes-result"]
    assert result.unseen == ()


def test_a_callers_containers_are_the_callers_also_without_tensors() -> None:
    class Settings:
        def __init__(self) -> None:
            self.steps, self.seen = 0, [1]

    class Marker:
        steps = 0

    marker, settings = Marker(), Settings()
    options: dict[str, Any] = {"scale": 2.0, "inner": [collections.deque([1])], "marker": marker}
    cache: list[Any] = []

    def forward(net: Any, x: Tensor, options: Any, cache: Any, settings: Any) -> Any:
        assert options["marker"] is marker
        marker.steps += 1
        scale = options.pop("scale")
        options["inner"][0].append(2)
        cache.append(net.fc(x))
        settings.steps += 1
        settings.seen.append(2)
        return net.act(cache[-1] * 1) * scale * settings.steps

    report = check(Net(forward), torch.randn(3, 4), options, cache, settings)
    assert report.ok
    assert options == {"scale": 2.0, "inner": [collections.deque([1])], "marker": marker}
    assert cache == []
    assert (settings.steps, settings.seen, vars(marker)) == (0, [1], {})


def test_inputs_that_share_memory_require_grad_in_each_run_if_they_do() -> None:
    rows = torch.randn(6, 4)
    first, second = (part.detach().requires_grad_() for part in (rows[:3], rows[3:]))
    network = Net(lambda net, a, b: F.relu(a.sigmoid(), inplace=True) + b)
    assert kinds(only(check(network, first, second))) == ["breaks-backward"]


def test_what_is_one_list_in_two_arguments_stays_one() -> None:
    def forward(net: Any, x: Tensor, a: Any, b: Any) -> Any:
        a.append(1)
        return net.act(net.fc(x)) * len(b)

    both: list[int] = []
    assert check(Net(forward), torch.randn(3, 4), both, both).ok


def test_a_list_that_holds_itself() -> None:
    ring: list[Any] = [torch.randn(3, 4)]
    ring.append(ring)
    assert check(Net(lambda net, ring: net.act(net.fc(ring[1][1][0]))), ring).ok


def test_the_networks_own_container_as_an_input_stays_its_own() -> None:
    def forward(net: Any, x: Tensor, cache: Any) -> Any:
        assert cache is net.cache
        cache.append(x)
        return net.act(net.fc(x)) * len(net.cache)

    network: Any = Net(forward)
    network.cache = []
    assert check(network, torch.randn(3, 4), network.cache).ok
    assert network.cache == []


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).T


class Counted:
    """Keeps its state in its class."""

    steps = 0
    seen: ClassVar[list[int]] = []
    total = torch.zeros(1)


def looked_up() -> nn.Embedding:
    """Return a table with a sparse gradient."""
    table = nn.Embedding(3, 4, sparse=True)
    table(torch.tensor([1, 2])).sum().backward()
    return table


class Cache:
    def __init__(self) -> None:
        self.steps = 0
        self.keys: Any = None


class Slotted:
    __slots__ = ("later", "steps")

    later: Any

    def __init__(self) -> None:
        self.steps = 0


TENSOR = "(id(net.own), net.own.dtype, net.own.shape, net.own.stride(), net.own.tolist())"
HOOKS = "(vars(net.own), net.own._backward_hooks, net.own._post_accumulate_grad_hooks)"
MODULE = "(net.own[0].training, list(vars(net.own[0])), str(net.own[0].state_dict()))"
PUT_BACK = {
    "a list": ("[{'a': 1}]", "net.own.append(1); net.own[0]['a'] += 1", "net.own"),
    "a long list": ("[(n, f'word {n}') for n in range(1000)]", "del net.own[3:]", "net.own"),
    "many numbers": ("[0.0] * 1000", "net.own[5] = x.sum()", "[type(each) for each in net.own]"),
    "a dictionary": ("dict.fromkeys(range(1000))", "net.own['new'] = net.own.pop(7, 1)", "list(net.own)"),
    "keys": ("{torch.ones(2): 'own'}", "[key.mul_(2) for key in net.own]", "[key.tolist() for key in net.own]"),
    "an object": ("Cache()", "net.own.steps += 1; net.own.keys = x", "vars(net.own)"),
    "its dictionary": ("Cache()", "net.own.__dict__ = {'steps': 1}", "(vars(net.own), id(vars(net.own)))"),
    "slots": ("Slotted()", "net.own.later = net.own; net.own.steps = 1", "(net.own.steps, hasattr(net.own, 'later'))"),
    "a class": (
        "Counted",
        "net.own.steps += 1; net.own.seen.append(1); net.own.total.add_(1); net.own.new = 1",
        "(net.own.steps, net.own.seen, net.own.total.item(), hasattr(net.own, 'new'))",
    ),
    "a module in a list": ("[nn.BatchNorm1d(4)]", "net.own[0](x); net.own[0].eval(); net.own[0].last = x", MODULE),
    "random numbers": ("random.Random(1)", "net.own.random()", "net.own.getstate()"),
    "PyTorch's": ("torch.Generator()", "torch.rand(1, generator=net.own)", "net.own.get_state().tolist()"),
    "a queue": ("__import__('queue').Queue()", "net.own.put(1)", "net.own.qsize()"),
    "a thread's own": ("threading.local()", "net.own.steps = 1", "vars(net.own)"),
    "a smaller buffer": ("nn.Buffer(torch.ones(4, 6))", "torch.zeros(2, 6, out=net.own)", TENSOR),
    "a larger buffer": ("nn.Buffer(torch.ones(4, 6))", "torch.zeros(7, 6, out=net.own)", TENSOR),
    "an empty buffer": ("nn.Buffer(torch.ones(4, 6))", "net.own.resize_(0)", TENSOR),
    "a transposed one": ("nn.Buffer(torch.ones(4, 6))", "net.own.t_()", TENSOR),
    "another storage": ("nn.Buffer(torch.ones(4, 6))", "net.own.set_(torch.zeros(3))", TENSOR),
    "another dtype": ("nn.Buffer(torch.ones(4))", "net.own.data = net.own.data.view(torch.int32)", TENSOR),
    "one without grad": ("nn.Buffer(torch.ones(4))", "net.own.requires_grad_()", "net.own.requires_grad"),
    "attributes": ("nn.Parameter(torch.ones(4))", "net.own.calls = 1; net.own.register_hook(lambda grad: grad)", HOOKS),
    "hooks": ("nn.Parameter(torch.ones(4))", "net.own.register_post_accumulate_grad_hook(lambda own: None)", HOOKS),
    "a sparse gradient": (
        "looked_up()",
        "net.own.weight.grad.mul_(0.5)",
        "(id(net.own.weight.grad), net.own.weight.grad.to_dense().tolist())",
    ),
    "a layer that is parametrized": (
        "nn.Linear(4, 4)",
        "plain = not parametrize.is_parametrized(net.own)",
        "plain and parametrize.register_parametrization(net.own, 'weight', Symmetric())",
        "(type(net.own), net.own.weight.tolist())",
    ),
    "a parametrization that is removed": (
        "parametrize.register_parametrization(nn.Linear(4, 4), 'weight', Symmetric())",
        "parametrized = parametrize.is_parametrized(net.own)",
        "parametrized and parametrize.remove_parametrizations(net.own, 'weight')",
        "(parametrize.is_parametrized(net.own), net.own.weight.tolist())",
    ),
}
"""What a network has as its `own`, what its forward does to that, and how it looks."""


@pytest.mark.parametrize("case", PUT_BACK.values(), ids=PUT_BACK)
def test_what_a_forward_does_to_what_its_network_has_is_put_back(case: tuple[str, ...], tmp_path: Path) -> None:
    own, *does, looks = case
    network = written(tmp_path, *does, "return net.act(net.fc(x))", parametrize=parametrize, Symmetric=Symmetric)
    names = {**globals(), "net": network}
    network.own = eval(own, names)

    def look() -> Any:
        return copy.deepcopy(eval(looks, names))

    before = look()
    report = check(network, torch.randn(3, 4))
    assert (report.ok, report.unrestored) == (True, ())
    assert look() == before
    network(torch.randn(3, 4))
    assert look() != before


def test_what_an_unregistered_module_keeps_is_part_of_the_result() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        net.hidden[0].last = net.fc(x)
        return net.act(net.hidden[0].last)

    network: Any = Net(forward)
    network.hidden = [nn.Identity()]
    (call,) = check(network, torch.randn(3, 4)).calls
    assert [effect.kind for effect in call.effects] == ["changes-result"]
    assert call.readers[0].operation.startswith("kept as hidden")


@pytest.mark.parametrize("mode", [True, False])
def test_the_grad_mode_and_the_default_dtype_are_put_back(mode: bool) -> None:
    def forward(net: Any, x: Tensor) -> Any:
        y = net.act(net.fc(x))
        torch.set_grad_enabled(not mode)
        torch.set_default_dtype(torch.float64)
        return y

    with torch.set_grad_enabled(mode):
        report = check(Net(forward), torch.randn(3, 4))
        assert torch.is_grad_enabled() == report.grad == mode
    assert torch.get_default_dtype() == torch.float32
    assert report.ok
    assert report.as_written.backward is (True if mode else None)


def test_what_lives_on_its_own_is_left_alone() -> None:
    class Worker(threading.Thread):
        done = 0

        def run(self) -> None:
            self.done += 1

    def forward(net: Any, x: Tensor) -> Any:
        net.worker = Worker()
        net.worker.start()
        net.worker.join()
        with net.lock:
            return net.act(net.fc(x))

    network: Any = Net(forward)
    network.lock, network.worker = threading.Lock(), None
    assert check(network, torch.randn(3, 4)).ok
    assert network.worker is None


def test_the_gradients_of_an_unregistered_module_count() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        h = net.hidden["fc"](x)
        y = Squared.apply(h)  # type: ignore[no-untyped-call]
        return F.relu(h, inplace=True) + y

    network: Any = Net(forward)
    network.hidden = {"fc": nn.Linear(4, 4)}
    (call,) = check(network, torch.randn(3, 4)).calls
    assert [effect.kind for effect in call.effects] == ["changes-result"]
    assert network.hidden["fc"].weight.grad is None


def growing(number: int) -> Iterator[int]:
    while True:
        yield number
        number += 1


MOVES_ON: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "numbers": (lambda: (n for n in range(99)), next),
    "counter": (itertools.count, next),
    "growing": (lambda: growing(10**6), next),
    "cycle": (lambda: itertools.cycle("ab"), next),
    "numbered": (lambda: enumerate("abc" * 9), next),
    "keys": (lambda: iter(dict.fromkeys(range(99))), next),
    "items": (lambda: iter([1.0, 2.0] * 9), next),
    "sums": (lambda: itertools.accumulate(range(99)), next),
    "lines": (tempfile.TemporaryFile, lambda lines: lines.write(b"a line")),
    "text": (lambda: io.StringIO("a\nb"), lambda text: text.readline()),
    "cut": (lambda: io.BytesIO(b"abc"), lambda text: text.truncate(1)),
    "bits": (lambda: bytearray(b"ab"), lambda bits: bits.append(1)),
    "row": (lambda: array.array("d", [1.0]), lambda row: row.append(2.0)),
}
"""What Python cannot put back, and what moves it on."""


def test_what_cannot_be_put_back_is_named() -> None:
    class Drawing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            vars(self).update({name: make() for name, (make, _) in MOVES_ON.items()})
            self.idle = [(n for n in "ab"), iter({1: 2}), sys.stdout]

        def forward(self, x: Tensor) -> Tensor:
            for name, (_, move_on) in MOVES_ON.items():
                move_on(getattr(self, name))
            return x * 2

    report = check(nn.Sequential(Drawing()), torch.randn(2, 4))
    assert {each.name for each in report.unrestored} - {""} == {f"0.{name}" for name in MOVES_ON}
    assert "0.numbers (generator): has moved on, and cannot be put back" in str(report)
    assert {"name": "0.row", "type": "array", "why": report.unrestored[0].why} in report.to_dict()["unrestored"]


@pytest.mark.parametrize("warm", [0, 1, 2, 5])
@pytest.mark.parametrize("scales", [(1.0, 2.0), (1.0, 2.0, 5.0)])
def test_what_alternates_goes_on_after_the_check_and_is_no_fault(warm: int, scales: tuple[float, ...]) -> None:
    class Alternating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scales = itertools.cycle(scales)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = x * next(self.scales)
            return torch.relu_(h), h.detach()

    network, x = Alternating(), torch.randn(4, 3)
    for _ in range(warm):
        network(x)
    report = check(network, x)
    assert not report.has_fault
    assert any("from run to run" in each.why for each in report.unseen)
    assert {next(network.scales) for _ in range(6)} == {*scales}


class Refusing:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise LookupError(name)


class Config(collections.abc.Mapping[str, Any]):
    """As a library of configurations has them: a value is missing, and who asks for it is told."""

    def __init__(self, tensor: Tensor) -> None:
        self.values_ = {"width": 8, "scale": tensor}

    def __getitem__(self, key: str) -> Any:
        if key == "missing":
            raise ValueError("mandatory value is missing")
        return self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["width", "missing", "scale"])

    def __len__(self) -> int:
        return 3


def test_what_raises_when_it_is_looked_at_is_left_and_named() -> None:
    class Holding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.relu = nn.ReLU(inplace=True)
            owner: Any = collections.OrderedDict()
            self.dead = weakref.proxy(owner)
            self.__dict__["refusing"] = Refusing()  # PyTorch's own way looks at it, too
            self.config = Config(torch.ones(4))

        def forward(self, x: Tensor) -> Any:
            self.config["scale"].mul_(2)
            return self.relu(self.fc(x)) * self.config["scale"]

    model = Holding()
    report = check(model, torch.randn(2, 4))
    assert report.ok
    assert {each.name for each in report.unrestored} == {"refusing"}  # a dead proxy has nothing of its own
    assert "refusing (Refusing): raised LookupError when it was looked at" in str(report)
    assert torch.equal(model.config["scale"], torch.ones(4))


def test_numpy_arrays_and_writes_through_numpy_are_put_back() -> None:
    numpy = pytest.importorskip("numpy")

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.relu = nn.ReLU(inplace=True)
            self.mean = numpy.zeros(4)
            self.scale = nn.Parameter(torch.ones(4), requires_grad=False)

        def forward(self, x: Tensor) -> Any:
            self.mean += x.detach().numpy().mean(0)
            self.scale.numpy()[:] *= 0.9
            return self.relu(self.fc(x)) * self.scale

    model = Counting()
    mean = model.mean
    assert check(model, torch.randn(2, 4)).ok
    assert model.mean is mean
    assert (mean == 0).all()
    assert torch.equal(model.scale, torch.ones(4))


def test_of_a_large_storage_only_what_the_input_reaches_is_copied() -> None:
    def forward(net: Any, x: Tensor, y: Tensor, both: tuple[Tensor, Tensor]) -> Any:
        assert storage_of(x).nbytes() < 1000
        assert (x.is_contiguous(), y.stride()) == (True, (2,))
        assert key_of(x) == key_of(y) != key_of(both[0]) == key_of(both[1])
        return net.fc(F.relu(x * 1, inplace=True)) + y[:4]

    data = torch.arange(2.0**20)
    alone = torch.ones(2)
    given = data[1000:1008].view(2, 4), data[1000:1016:2], (alone, alone.data)
    assert check(Net(forward), *given).ok
