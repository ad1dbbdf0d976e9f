"""Random networks, one for each seed: short programs over named tensors, with every operation that takes `inplace=`."""

from __future__ import annotations

import functools
import operator
import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

Values = dict[str, Any]
Step = Callable[["Program", Values], None]

ACTIVATIONS: list[tuple[type[nn.Module], str, tuple[float, ...]]] = [
    (nn.ReLU, "relu", ()),
    (nn.ReLU6, "relu6", ()),
    (nn.Threshold, "threshold", (0.1, -0.5)),
    (nn.Hardtanh, "hardtanh", (-0.7, 0.8)),
    (nn.ELU, "elu", (0.9,)),
    (nn.ELU, "elu", (-0.5,)),
    (nn.SELU, "selu", ()),
    (nn.CELU, "celu", (1.2,)),
    (nn.LeakyReLU, "leaky_relu", (0.2,)),
    (nn.LeakyReLU, "leaky_relu", (-0.2,)),
    (nn.RReLU, "rrelu", (0.1, 0.4)),
    (nn.Hardsigmoid, "hardsigmoid", ()),
    (nn.Hardswish, "hardswish", ()),
    (nn.SiLU, "silu", ()),
    (nn.Mish, "mish", ()),
]
DROPOUTS: list[tuple[type[nn.Module], str]] = [
    (nn.Dropout, "dropout"),
    (nn.AlphaDropout, "alpha_dropout"),
    (nn.FeatureAlphaDropout, "feature_alpha_dropout"),
    (nn.Dropout1d, "dropout1d"),
    (nn.Dropout2d, "dropout2d"),
    (nn.Dropout3d, "dropout3d"),
]
SMOOTH = 0.1
"""The eps of a normalisation. With a small one the gradient of equal numbers is rounding alone."""
SHAPES = [(4, 6), (2, 4, 6), (2, 4, 3, 3), (4,), (1, 2, 2, 3, 2)]


class Program(nn.Module):
    """A network that is a list of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList()
        self.steps: list[Step] = []
        self.returned: tuple[str, ...] = ("x0",)
        self.as_mapping = False
        self.register_buffer("memory", torch.ones(4, 6))
        self.weight = nn.Parameter(torch.randn(4, 6))
        self.last: Any = None

    def forward(self, *inputs: Tensor) -> Any:
        values: Values = {f"x{i}": tensor for i, tensor in enumerate(inputs)}
        del inputs
        for step in self.steps:
            step(self, values)
        results = {name: values[name] for name in self.returned if name in values}
        if self.as_mapping:
            return {"first": results, "rest": [t.shape for t in results.values()]}
        return tuple(results.values())


def network(seed: int) -> tuple[Program, list[Tensor]]:
    """The network of a seed and its input; the same ones, newly made, every time."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    program = Program()
    shape = rng.choice(SHAPES)
    inputs = [_input(rng, shape) for _ in range(rng.choice((1, 1, 2)))]
    if len(inputs) == 2 and rng.random() < 0.15:
        whole = torch.randn(2, *shape)
        inputs = [whole[0], whole[1]] if rng.random() < 0.7 else [whole[0], whole[0]]
    values: Values = {f"x{i}": tensor.detach() * 1.0 for i, tensor in enumerate(inputs)}
    for _ in range(rng.randint(3, 14)):
        _add(rng, program, values)
    if rng.random() < 0.85:
        program.train(rng.random() < 0.6)
    if not rng.randrange(12):
        for parameter in program.parameters():
            parameter.requires_grad_(False)
    if seed >= ODD:
        _make_odd(random.Random(seed), program)
    names = list(values)
    program.returned = tuple(rng.sample(names, rng.randint(1, min(3, len(names)))))
    if rng.random() < 0.8 and names[-1] not in program.returned:
        program.returned += (names[-1],)
    program.as_mapping = rng.random() < 0.2
    program.last = None
    forget_outside(program)
    return program, inputs


def _input(rng: random.Random, shape: tuple[int, ...]) -> Tensor:
    kind = rng.random()
    if kind < 0.7:
        tensor = torch.randn(shape)
    elif kind < 0.8:
        tensor = torch.rand(shape) + 0.1
    elif kind < 0.9:
        tensor = torch.randn(2, *shape)[rng.randrange(2)]
    else:
        tensor = torch.randn(shape[:1] + (1,) * (len(shape) - 1)).expand(shape)
    if rng.random() < 0.3:
        tensor.requires_grad_()
    return tensor


def _add(rng: random.Random, program: Program, values: Values) -> None:
    """Add a step that works; try it with every switch off."""
    for _ in range(8):
        parts = len(program.parts)
        step = rng.choice(_MAKERS)(rng, program, list(values), values)
        if step is None:
            continue
        try:
            trial = dict(values)
            with torch.no_grad():
                step(program, trial)
        except (RuntimeError, ValueError, IndexError, TypeError):
            del program.parts[parts:]
            continue
        if all(not isinstance(v, Tensor) or v.numel() < 20_000 for v in trial.values()):
            values.clear()
            values.update(trial)
            program.steps.append(step)
            return


def _name(rng: random.Random, names: list[str]) -> str:
    # Mostly what is newest: chains; and often an older one: branches.
    return names[-1] if rng.random() < 0.6 else rng.choice(names)


def _new(rng: random.Random, names: list[str], source: str) -> str:
    return source if rng.random() < 0.3 else f"v{len(names)}_{rng.randrange(1000)}"


def _activation(rng: random.Random, program: Program, names: list[str], values: Values) -> Step:
    source = _name(rng, names)
    target = _new(rng, names, source)
    kind, function, numbers = rng.choice(ACTIVATIONS)
    return _switched(rng, program, source, target, kind, function, numbers)


def _dropout(rng: random.Random, program: Program, names: list[str], values: Values) -> Step:
    source = _name(rng, names)
    target = _new(rng, names, source)
    kind, function = rng.choice(DROPOUTS)
    return _switched(rng, program, source, target, kind, function, (rng.choice((0.5, 0.3, 0.0, 1.0)),))


def _switched(
    rng: random.Random,
    program: Program,
    source: str,
    target: str,
    kind: type[nn.Module],
    function: str,
    numbers: tuple[float, ...],
) -> Step:
    inplace = rng.random() < 0.75
    how = rng.choice(("module", "module", "shared", "keyword", "position", "statement"))
    if how == "shared":
        same = [i for i, part in enumerate(program.parts) if isinstance(part, kind)]
        if same:
            index = rng.choice(same)
            return lambda p, v: v.update({target: p.parts[index](v[source])})
    if how in ("module", "shared", "statement"):
        program.parts.append(kind(*numbers, inplace=inplace))
        index = len(program.parts) - 1
        if how == "statement":
            return lambda p, v: _drop(p.parts[index](v[source]))
        return lambda p, v: v.update({target: p.parts[index](v[source])})
    training = rng.random() < 0.7
    by_position: tuple[Any, ...] = (*numbers, inplace)
    by_keyword: dict[str, Any] = {"inplace": inplace}
    if issubclass(kind, tuple(d for d, _ in DROPOUTS)) or kind is nn.RReLU:
        by_position = (*numbers, training, inplace)
        by_keyword["training"] = training
    if how == "position":
        return lambda p, v: v.update({target: getattr(F, function)(v[source], *by_position)})
    return lambda p, v: v.update({target: getattr(F, function)(v[source], *numbers, **by_keyword)})


def _drop(result: Any) -> None:
    del result


def _layer(rng: random.Random, program: Program, names: list[str], values: Values) -> Step | None:
    source = _name(rng, names)
    target = _new(rng, names, source)
    tensor = values[source]
    if program.parts and rng.random() < 0.2:
        layers = [i for i, p in enumerate(program.parts) if isinstance(p, (nn.Linear, nn.Conv2d, nn.BatchNorm2d))]
        if layers:
            shared = rng.choice(layers)
            return lambda p, v: v.update({target: p.parts[shared](v[source])})
    makers: list[Callable[[], nn.Module]] = [lambda: nn.Linear(tensor.shape[-1], tensor.shape[-1])]
    if tensor.dim() == 4:
        makers += [
            lambda: nn.Conv2d(tensor.shape[1], tensor.shape[1], 3, padding=1),
            lambda: nn.BatchNorm2d(tensor.shape[1], eps=SMOOTH),
            lambda: nn.MaxPool2d(2, 1),
        ]
    if tensor.dim() == 2:
        makers.append(lambda: nn.BatchNorm1d(tensor.shape[1], eps=SMOOTH))
    if tensor.dim() == 3:
        makers.append(lambda: nn.Conv1d(tensor.shape[1], tensor.shape[1], 1))
        if not bool((tensor == tensor[..., :1]).all()):  # of equal elements it is zero, and its gradient only rounding
            makers.append(lambda: nn.LayerNorm(tensor.shape[-1], eps=SMOOTH))
    if tensor.dim() == 0:
        return None
    program.parts.append(rng.choice(makers)())
    index = len(program.parts) - 1
    return lambda p, v: v.update({target: p.parts[index](v[source])})


_POINTWISE: list[Callable[[Tensor], Any]] = [
    torch.sigmoid,
    torch.tanh,
    lambda x: x * x,
    lambda x: x + 1,
    lambda x: x * 0.5,
    Tensor.sin,
    lambda x: torch.softmax(x, -1),
    Tensor.clone,
    Tensor.detach,
    lambda x: x.data,
    lambda x: x.mean(-1, keepdim=True),
    F.gelu,
    lambda x: x @ x.transpose(-1, -2),
    lambda x: F.relu(x),  # noqa: PLW0108 - looked up when called
    torch.relu,
    lambda x: x.abs().sqrt(),
    Tensor.sum,
    torch.zeros_like,
    lambda x: x.new_ones(x.shape),
    Tensor.contiguous,
    lambda x: x.to(torch.float64),
    lambda x: x.numel() + 0.0 * x,
]
_VIEWS: list[Callable[[Tensor], Any]] = [
    lambda x: x[: x.shape[0] // 2],
    lambda x: x[x.shape[0] // 2 :],
    lambda x: x[..., : x.shape[-1] // 2],
    lambda x: x[..., x.shape[-1] // 2 :],
    lambda x: x[:, :2],
    lambda x: x[:, 2:],
    lambda x: x[..., ::2],
    lambda x: x.transpose(0, -1),
    lambda x: x.reshape(-1),
    lambda x: x.flatten(1),
    lambda x: x.view(x.shape),
    lambda x: x.unsqueeze(0),
    lambda x: x.expand(2, *x.shape),
    lambda x: x.squeeze(0),
    lambda x: x.narrow(-1, 0, 1),
    lambda x: x.view_as(x),
    lambda x: x.unbind(0)[0],
    Tensor.diagonal,
    lambda x: x.permute(*reversed(range(x.dim()))),
    lambda x: x[0],
]


def _pointwise(rng: random.Random, program: Program, names: list[str], values: Values) -> Step:
    source = _name(rng, names)
    target = _new(rng, names, source)
    function = rng.choice(_POINTWISE)
    return lambda p, v: v.update({target: function(v[source])})


def _view(rng: random.Random, program: Program, names: list[str], values: Values) -> Step:
    source = _name(rng, names)
    target = _new(rng, names, source)
    function = rng.choice(_VIEWS)
    if rng.random() < 0.1:

        def without_grad(p: Program, v: Values) -> None:
            with torch.no_grad():
                v[target] = function(v[source])

        return without_grad
    return lambda p, v: v.update({target: function(v[source])})


def _chunks(rng: random.Random, program: Program, names: list[str], values: Values) -> Step:
    source = _name(rng, names)
    a, b = f"c{len(names)}_{rng.randrange(1000)}", f"d{len(names)}_{rng.randrange(1000)}"
    dim = rng.choice((0, -1))
    return lambda p, v: v.update(zip((a, b), v[source].chunk(2, dim), strict=False))


def _join(rng: random.Random, program: Program, names: list[str], values: Values) -> Step:
    left, right = _name(rng, names), rng.choice(names)
    target = _new(rng, names, left)
    function: Callable[[Tensor, Tensor], Any] = rng.choice(
        (
            torch.add,
            torch.add,
            lambda x, y: x + y,
            torch.mul,
            lambda x, y: torch.cat([x, y], -1),
            lambda x, y: torch.cat((x, y)),
            lambda x, y: torch.stack([x, y]),
            torch.maximum,
            lambda x, y: torch.where(x > 0, x, y),
        )
    )
    return lambda p, v: v.update({target: function(v[left], v[right])})


def _write(rng: random.Random, program: Program, names: list[str], values: Values) -> Step:
    """A write that means to change the tensor."""
    source, other = _name(rng, names), rng.choice(names)

    def assign(p: Program, v: Values) -> None:
        v[source][...] = v[other]

    def part(p: Program, v: Values) -> None:
        v[source][..., :1] = 0.5

    def out(p: Program, v: Values) -> None:
        if v[other].shape != v[source].shape:
            raise ValueError("it would resize the tensor, below autograd")
        with torch.no_grad():
            torch.add(v[other], 1, out=v[source])

    def halve(p: Program, v: Values) -> None:
        v[source].mul_(0.5)

    def cut(p: Program, v: Values) -> None:
        v[source].relu_()

    def past_autograd(p: Program, v: Values) -> None:
        v[source].data.add_(0.25)

    chosen: Step = rng.choice((assign, part, out, halve, cut, past_autograd))
    return chosen


def _rebind(rng: random.Random, program: Program, names: list[str], values: Values) -> Step:
    """A write whose result goes on."""
    source, other = _name(rng, names), rng.choice(names)
    target = _new(rng, names, source)

    def add(p: Program, v: Values) -> None:
        x = v[source]
        x += v[other]
        v[source] = x

    def take(p: Program, v: Values) -> None:
        v[source] = v[source].sub_(v[other])

    def scale(p: Program, v: Values) -> None:
        x = v[source]
        x *= v[other]
        v[source] = x

    def divide(p: Program, v: Values) -> None:
        v[target] = v[source].div_(v[other].abs() + 1)

    def squash(p: Program, v: Values) -> None:
        v[target] = v[source].sigmoid_() if v[source].dim() == 4 else v[source].exp_()

    def hide(p: Program, v: Values) -> None:
        v[target] = v[source].clamp_(-1, 1).masked_fill_(v[other].detach() > 0.5, 0.0)

    chosen: Step = rng.choice((add, take, scale, divide, squash, hide))
    return chosen


def _fill(rng: random.Random, program: Program, names: list[str], values: Values) -> Step:
    source = _name(rng, names)

    def clear(p: Program, v: Values) -> None:
        v[source].zero_()

    def masked(p: Program, v: Values) -> None:
        v[source][v[source].detach() < 0.3] = 0.1

    chosen: Step = rng.choice((clear, masked))
    return chosen


def _own(rng: random.Random, program: Program, names: list[str], values: Values) -> Step:
    source = _name(rng, names)
    target = _new(rng, names, source)

    def remember(p: Program, v: Values) -> None:
        p.get_buffer("memory").copy_(v[source].detach())

    def keep(p: Program, v: Values) -> None:
        p.last = v[source]

    def keep_loss(p: Program, v: Values) -> None:
        p.last = (v[source] * v[source]).sum()

    def branch(p: Program, v: Values) -> None:
        v[target] = v[source] * 2 if float(v[source].detach().sum()) > 0 else v[source] * 3

    def forget(p: Program, v: Values) -> None:
        if len(v) > 1:
            del v[source]

    return rng.choice(
        (
            remember,
            keep,
            keep_loss,
            branch,
            forget,
            forget,
            forget,
            lambda p, v: v.update({target: p.memory}),
            lambda p, v: v.update({target: p.weight}),
            lambda p, v: v.update({target: v[source].sum().item() * torch.ones(2, 3)}),
        )
    )


def _hook(rng: random.Random, program: Program, names: list[str], values: Values) -> Step | None:
    """Register a hook on one of the parts: it reads what the part was given or gave, or keeps that."""
    if not len(program.parts):
        return None
    seen: list[Tensor] = []

    def reads_given(module: nn.Module, args: Any, output: Any) -> None:
        seen.append(args[0].detach().clone())

    def reads_before(module: nn.Module, args: Any) -> None:
        seen.append(args[0].detach().clone())

    def keeps_given(module: nn.Module, args: Any, output: Any) -> None:
        seen.append(args[0].detach())

    def keeps_result(module: nn.Module, args: Any, output: Any) -> None:
        seen.append(output)

    def keeps_a_part(module: nn.Module, args: Any, output: Any) -> None:
        seen.append(output.detach()[:1])

    part = program.parts[rng.randrange(len(program.parts))]
    hook: Any = rng.choice((reads_given, reads_before, keeps_given, keeps_result, keeps_a_part))
    hook.seen = seen
    if hook is reads_before:
        part.register_forward_pre_hook(hook)
    else:
        part.register_forward_hook(hook)
    return lambda p, v: None


def outside(network: nn.Module) -> list[Tensor]:
    """What the hooks of a network have read and kept."""
    return [tensor for seen in _seen_by_hooks(network) for tensor in seen]


def forget_outside(network: nn.Module) -> None:
    """Empty what the hooks of a network keep."""
    for seen in _seen_by_hooks(network):
        seen.clear()


def _seen_by_hooks(network: nn.Module) -> list[list[Tensor]]:
    hooks = [
        hook
        for module in network.modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]
    return [hook.seen for hook in hooks if hasattr(hook, "seen")]


_MAKERS: list[Callable[[random.Random, Program, list[str], Values], Step | None]] = [
    *[_activation] * 24,
    *[_dropout] * 8,
    *[_layer] * 12,
    *[_pointwise] * 12,
    *[_view] * 8,
    *[_join] * 8,
    *[_chunks, _own, _hook] * 4,
    *[_write, _rebind] * 4,
    *[_fill] * 2,
]


ODD = 1_000_000
"""From this seed on networks have odd steps besides: under no_grad, with tensor hooks, and writes by other names."""


def _make_odd(rng: random.Random, program: Program) -> None:
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(program.steps))
        if rng.random() < 0.3:
            program.steps[at] = _without_grad(program.steps[at])
        else:
            step: Callable[[Tensor], Any] = rng.choice(_ODD)
            program.steps.insert(at + 1, _on_one(step, rng.randrange(100), rng.random() < 0.5))


def _without_grad(step: Step) -> Step:
    def run(p: Program, v: Values) -> None:
        with torch.no_grad():
            step(p, v)

    return run


def _on_one(step: Callable[[Tensor], Any], which: int, keeps_old: bool) -> Step:
    """Run a step on one of the values that are no inputs; its result is another, or takes its place."""

    def run(p: Program, v: Values) -> None:
        names = [name for name, value in v.items() if isinstance(value, Tensor) and name[0] != "x"]
        names = [name for name in names if v[name].is_floating_point()]
        if names and (name := names[which % len(names)]) and v[name] is not p.weight and v[name] is not p.memory:
            v[f"odd{len(v)}" if keeps_old else name] = step(v[name])

    return run


def _hooked(x: Tensor) -> Tensor:
    try:
        recorded = x.grad_fn is not None
    except RuntimeError:  # a view that PyTorch has given up: to register a hook on it crashes PyTorch 2.13
        return x
    if recorded:
        x.register_hook(lambda gradient: None if gradient is None else gradient * gradient + 1)  # type: ignore[no-untyped-call]
    return x


def _by_another_name(x: Tensor) -> Any:
    write = x.abs_
    return write()


def _raised(x: Tensor) -> Any:
    x **= 2
    return x


_ODD = [
    _hooked,
    _by_another_name,
    _raised,
    lambda x: operator.iadd(x, 0.5),  # type: ignore[no-untyped-call]
    lambda x: functools.reduce(operator.imul, [x, 0.5, 2.0]),
    lambda x: Tensor.clamp_(x, -0.5, 0.5),
    lambda x: next(map(Tensor.sin_, [x])),
]
