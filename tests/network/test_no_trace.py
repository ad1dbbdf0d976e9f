"""A check leaves no trace: network, tensors, hooks and random numbers are as before, bit for bit."""

from __future__ import annotations

import collections
import contextvars
import copy
import functools
import hashlib
import io
import itertools
import json
import random
import threading
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TextIO, cast

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from support.nets import Net
from torch import Tensor, nn

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
    found: dict[str, Any] = {}
    for path, module in network.named_modules():
        for name, value in module.__dict__.items():
            if name not in ("_modules", "_parameters", "_buffers"):
                found[f"{path}/{name}"] = copy.deepcopy(value)
        found[f"{path} order"] = list(module.__dict__)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        found[name] = tensor.detach().clone(), tensor.requires_grad, tensor.is_leaf, id(tensor), tensor.data_ptr()
        found[f"{name}.grad"] = (
            None if not tensor.is_leaf or tensor.grad is None else (tensor.grad.clone(), id(tensor.grad))
        )
    found["rng"] = torch.get_rng_state(), random.getstate()
    return found


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


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
    after = everything(network)
    assert before.keys() == after.keys()
    assert [name for name in before if not same(before[name], after[name])] == []
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


@pytest.mark.parametrize(
    "resize",
    [
        lambda table: torch.ones(2, 6, out=table),
        lambda table: torch.ones(7, 6, out=table),
        lambda table: table.resize_(0),
        lambda table: table.t_(),
        lambda table: table.set_(torch.zeros(3)),
    ],
    ids=["smaller", "larger", "empty", "transposed", "of another storage"],
)
def test_a_buffer_that_the_forward_resizes_has_its_shape_and_values_again(resize: Any) -> None:
    def forward(net: Any, x: Tensor) -> Any:
        resize(net.table)
        return net.act(net.fc(x))

    torch.manual_seed(0)
    network = Net(forward, fc=nn.Linear(4, 4), act=nn.ReLU(inplace=True))
    network.register_buffer("table", torch.randn(4, 6))
    table = network.get_buffer("table")
    before = table.clone()
    check(network, torch.randn(2, 4))
    assert network.get_buffer("table") is table
    assert table.shape == (4, 6)
    assert table.stride() == (6, 1)
    assert torch.equal(table, before)


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


class Held:
    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def get(self) -> Tensor:
        return self.tensor


class Frozen(NamedTuple):
    tensor: Tensor
    label: str


class Run(nn.Module):
    """A network whose forward is a function of itself and its input."""

    cache: Any
    hidden: Any
    lock: Any
    worker: Any

    def __init__(self, run: Any) -> None:
        super().__init__()
        self.run = run
        self.fc, self.act = nn.Linear(4, 4), nn.ReLU(inplace=True)

    def forward(self, *args: Any) -> Any:
        return self.run(self, *args)


class Row(tuple[Any, ...]):
    """A tuple with a name."""

    name: Any


def named(x: Tensor) -> Row:
    row = Row([x])
    row.name = [x]
    return row


@pytest.mark.parametrize(
    ("hold", "take"),
    [
        (named, lambda held: held.name[0]),
        (lambda x: collections.deque([x], maxlen=3), lambda held: held[0]),
        (lambda x: {x}, lambda held: next(iter(held))),
        (Held, lambda held: held.tensor),
        (lambda x: Frozen(x, "label"), lambda held: held.tensor),
        (lambda x: types.SimpleNamespace(x={"x": x}), lambda held: held.x["x"]),
        (lambda x: collections.UserDict(x=x), lambda held: held["x"]),
        (lambda x: functools.partial(max, x), lambda held: held.args[0]),
        (lambda x: Held(x).get, lambda held: held()),
        (lambda x: torch.max(x, 0), lambda held: held.values),
    ],
    ids=lambda f: "",
)
def test_a_callers_tensor_is_copied_out_of_whatever_holds_it(hold: Any, take: Any) -> None:
    x = torch.randn(3, 4)
    given = hold(x)
    before = take(given).clone()
    report = check(Run(lambda net, held: net.fc(F.relu(take(held), inplace=True))), given)
    assert [effect.kind for call in report.calls for effect in call.effects] == ["overwrites-input"]
    assert torch.equal(take(given), before)


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

    report = check(Run(forward), torch.randn(3, 4), options, cache, settings)
    assert report.ok
    assert options == {"scale": 2.0, "inner": [collections.deque([1])], "marker": marker}
    assert cache == []
    assert (settings.steps, settings.seen, vars(marker)) == (0, [1], {})


def test_what_is_one_list_in_two_arguments_stays_one() -> None:
    def forward(net: Any, x: Tensor, a: Any, b: Any) -> Any:
        a.append(1)
        return net.act(net.fc(x)) * len(b)

    both: list[int] = []
    assert check(Run(forward), torch.randn(3, 4), both, both).ok


def test_a_list_that_holds_itself() -> None:
    ring: list[Any] = [torch.randn(3, 4)]
    ring.append(ring)
    assert check(Run(lambda net, ring: net.act(net.fc(ring[1][1][0]))), ring).ok


def test_the_networks_own_container_as_an_input_stays_its_own() -> None:
    def forward(net: Any, x: Tensor, cache: Any) -> Any:
        assert cache is net.cache
        cache.append(x)
        return net.act(net.fc(x)) * len(net.cache)

    network = Run(forward)
    network.cache = []
    assert check(network, torch.randn(3, 4), network.cache).ok
    assert network.cache == []


class Cache:
    def __init__(self) -> None:
        self.steps = 0
        self.keys: Any = None


class Slotted:
    __slots__ = ("later", "steps")

    later: Any

    def __init__(self) -> None:
        self.steps = 0


class Keeper(nn.Module):
    """State in objects and lists that PyTorch does not look into."""

    def __init__(self) -> None:
        super().__init__()
        self.cache, self.slotted = Cache(), Slotted()
        self.norms = [nn.BatchNorm1d(4)]
        self.more = {"linear": nn.Linear(4, 4), "deep": (nn.Sequential(nn.BatchNorm1d(4)),)}
        self.random = random.Random(1)
        self.torch_random = [torch.Generator().manual_seed(1)]
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Any:
        h = self.more["deep"][0](self.norms[0](self.more["linear"](x)))  # type: ignore[index, operator]
        self.norms[0].eval()
        self.norms[0].last = h
        self.cache.steps += 1
        self.cache.keys = h if self.cache.keys is None else torch.cat([self.cache.keys, h])
        self.slotted.steps += 1
        self.slotted.later = self.slotted
        scale = self.random.random() + torch.rand(1, generator=self.torch_random[0])
        return self.act(h * 2) * self.cache.steps * self.slotted.steps * scale + self.cache.keys.sum()


def test_state_in_objects_and_unregistered_modules_is_put_back() -> None:
    network = Keeper()
    linear, norm, deep = network.more["linear"], network.norms[0], network.more["deep"][0][0]  # type: ignore[index]
    assert isinstance(linear, nn.Linear)
    linear(torch.randn(2, 4)).sum().backward()
    grad = linear.weight.grad
    assert grad is not None
    before = copy.deepcopy([norm.state_dict(), deep.state_dict(), linear.state_dict(), grad])
    drawn = network.random.getstate(), network.torch_random[0].get_state()
    report = check(network, torch.randn(3, 4))
    assert report.ok
    assert same(before, [norm.state_dict(), deep.state_dict(), linear.state_dict(), grad])
    assert linear.weight.grad is grad
    assert norm.training
    assert not hasattr(norm, "last")
    assert vars(network.cache) == {"steps": 0, "keys": None}
    assert network.slotted.steps == 0
    assert not hasattr(network.slotted, "later")
    assert same(drawn, (network.random.getstate(), network.torch_random[0].get_state()))


def test_what_an_unregistered_module_keeps_is_part_of_the_result() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        net.hidden[0].last = net.fc(x)
        return net.act(net.hidden[0].last)

    network = Run(forward)
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
        report = check(Run(forward), torch.randn(3, 4))
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

    network = Run(forward)
    network.lock, network.worker = threading.Lock(), None
    assert check(network, torch.randn(3, 4)).ok
    assert network.worker is None


class Locked(dict[str, Any]):
    def __setitem__(self, key: str, value: Any) -> None:
        raise TypeError("not to be changed")


class Single:
    """There is one, and no copy of it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("there is one")


@pytest.mark.parametrize(
    ("hold", "take"),
    [
        (Single, lambda held: held.tensor),
        (lambda x: Locked(x=x), lambda held: held["x"]),
        (lambda x: {"x": x}.values(), lambda held: next(iter(held))),
        (lambda x: types.MappingProxyType({"x": [x]}), lambda held: held["x"][0]),
    ],
    ids=["object", "locked", "values", "read-only"],
)
def test_a_callers_tensor_in_what_cannot_be_copied_is_put_back(hold: Any, take: Any) -> None:
    x = torch.randn(3, 4)
    given, before = hold(x), x.clone()
    report = check(Run(lambda net, held: net.fc(F.relu(take(held), inplace=True))), given)
    assert [effect.kind for call in report.calls for effect in call.effects][-1] == "overwrites-input"
    assert torch.equal(x, before)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        ctx.x = x  # where autograd does not look
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return 2 * ctx.x * grad


def test_the_gradients_of_an_unregistered_module_count() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        h = net.hidden["fc"](x)
        y = Square.apply(h)  # type: ignore[no-untyped-call]
        return F.relu(h, inplace=True) + y

    network = Run(forward)
    network.hidden = {"fc": nn.Linear(4, 4)}
    (call,) = check(network, torch.randn(3, 4)).calls
    assert [effect.kind for effect in call.effects] == ["changes-result"]
    assert network.hidden["fc"].weight.grad is None


class Moving(nn.Module):
    """Keeps its state where no attribute shows it."""

    steps = 0
    seen: ClassVar[list[int]] = []
    total = torch.zeros(1)

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.relu = nn.ReLU(inplace=True)
        self.pairs = zip([3, 4, 5], range(3), strict=True)
        self.lines = io.StringIO("a\nb\nc\n")

    def forward(self, x: Tensor) -> Tensor:
        type(self).steps += 1
        self.seen.append(self.steps)
        self.total.add_(x.mean())
        setattr(type(self), "new", "attribute")  # noqa: B010 - the class has none of that name
        factor = sum(next(self.pairs)) + len(self.lines.readline())
        return cast(Tensor, self.relu(self.fc(x)) * factor)


def test_iterators_over_lists_text_and_class_attributes_are_put_back() -> None:
    model = Moving()
    report = check(model, torch.randn(2, 4))
    assert report.ok
    assert report.unrestored == ()
    assert (Moving.steps, Moving.seen, Moving.total.item(), hasattr(Moving, "new")) == (0, [], 0.0, False)
    assert (next(model.pairs), model.lines.readline()) == ((3, 0), "a\n")


def test_what_cannot_be_put_back_is_named(tmp_path: Path) -> None:
    class Drawing(nn.Module):
        def __init__(self, lines: TextIO) -> None:
            super().__init__()
            self.numbers = (n for n in range(99))
            self.counter, self.keys = itertools.count(), iter(dict.fromkeys(range(99)))
            self.digest, self.lines = hashlib.sha256(), lines
            self.turns, self.sums = itertools.cycle([1]), itertools.accumulate(range(99))
            self.step = contextvars.ContextVar("step", default=0)
            self.idle = [(n for n in "ab"), iter({1: 2}), hashlib.sha256()]

        def forward(self, x: Tensor) -> Tensor:
            self.digest.update(b"a")
            self.lines.write("a line")
            self.step.set(1)
            drawn = sum(map(next, (self.numbers, self.counter, self.keys, self.turns, self.turns, self.sums)))
            return x.add(drawn)

    with (tmp_path / "log").open("w", encoding="utf-8") as lines:
        report = check(nn.Sequential(Drawing(lines)), torch.randn(2, 4))
    named = {each.name for each in report.unrestored}
    changed = {"numbers", "counter", "keys", "digest", "lines", "turns", "sums", "step"}
    assert named - {""} == {f"0.{name}" for name in changed}  # without a name: what the cycle went over
    assert "0.numbers (generator): has moved on, and cannot be put back" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["unrestored"][0]["name"] == "0.numbers"


def test_tensors_that_are_keys_are_put_back() -> None:
    def forward(net: Any, x: Tensor, weights: dict[Tensor, str]) -> Any:
        for tensor in (*weights, *net.cache):
            tensor.mul_(2)
        return net.act(net.fc(x))

    network, own, given = Run(forward), torch.ones(2), torch.ones(2)
    network.cache = {own: "own"}
    check(network, torch.randn(3, 4), {given: "given"})
    assert (own.tolist(), given.tolist()) == ([1, 1], [1, 1])


def test_an_object_that_takes_another_dict_has_its_own_again() -> None:
    def forward(net: Any, x: Tensor) -> Any:
        net.cache.__dict__ = {"steps": net.cache.steps + 1}
        return net.act(net.fc(x)) * net.cache.steps

    network = Run(forward)
    network.cache = Cache()
    before = vars(network.cache)
    assert check(network, torch.randn(3, 4)).ok
    assert vars(network.cache) is before


def test_a_large_vocabulary_is_put_back() -> None:
    class Vocabulary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.numbers = {f"word {n}": n for n in range(1000)}
            self.words = [(n, f"word {n}") for n in range(1000)]
            self.zeros = [0.0] * 1000

        def forward(self, x: Tensor) -> Tensor:
            self.numbers["new"] = self.numbers.pop("word 7")
            del self.words[3:]
            self.zeros[5] = x.sum() * 0  # type: ignore[call-overload]
            return x * 2

    model, fresh = Vocabulary(), Vocabulary()
    check(model, torch.randn(2, 4))
    assert [*model.numbers.items()] == [*fresh.numbers.items()]
    assert model.words == fresh.words
    assert {type(item) for item in model.zeros} == {float}


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
    def forward(net: Any, x: Tensor, y: Tensor) -> Any:
        assert storage_of(x).nbytes() < 1000
        assert (x.is_contiguous(), y.stride()) == (True, (2,))
        assert key_of(x) == key_of(y)
        return net.fc(F.relu(x * 1, inplace=True)) + y[:4]

    data = torch.arange(2.0**20)
    report = check(Net(forward, fc=nn.Linear(4, 4)), data[1000:1008].view(2, 4), data[1000:1016:2])
    assert report.ok
