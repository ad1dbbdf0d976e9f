"""The random inputs of a network: made as they were asked for, and recognised as what it refuses."""

from __future__ import annotations

import inspect
import re
import shlex

import torch
from torch import Tensor, nn

from relu_demo.errors import InputError, NetworkError, SetupError, first_line
from relu_demo.network.target import FunctionNetwork
from relu_demo.request import Check, Input, sizes

OF_RANGES = re.compile(r"index out of range in self|Class values must be smaller|Target \S+ is out of bounds")
"""What an error of PyTorch says for whole numbers that are too large to be an index."""

OF_SHAPES = re.compile(
    r"shape|\bsizes?\b|dimension|channels|values? to unpack|tuple index out of range|out of bounds|input features|"
    r"wrong image|more than 1 value per channel",
    re.IGNORECASE,
)
"""What an error says that PyTorch, Python or a network raises for an input of another shape than it needs."""

OF_WHOLE_NUMBERS = re.compile(r"Long, Int|type Long|LongTensor|used as indices|index tensor|scalar type Long")
"""What an error of PyTorch says for an input of fractions that has to be one of indices."""


def random_inputs(
    request: Check, network: nn.Module, device: torch.device, dtype: torch.dtype
) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Return a tensor of random numbers for each input that was asked for: positional ones, and those with a name.

    A function, or a module without parameters (a loss, an activation), gets what a network would give it: results that
    require grad, and no leaves.
    Raise SetupError for too few, too many, unknown or impossible ones.
    """
    require_inputs(network, request)
    made = [(each.name, _random(each, device, dtype)) for each in request.inputs]
    if isinstance(network, FunctionNetwork) or next(network.parameters(), None) is None:
        made = [
            (name, tensor.requires_grad_().clone() if tensor.is_floating_point() else tensor) for name, tensor in made
        ]
    return tuple(tensor for name, tensor in made if not name), {name: tensor for name, tensor in made if name}


def _random(given: Input, device: torch.device, otherwise: torch.dtype) -> Tensor:
    """Return random numbers: normally distributed, or between bounds; of an integer dtype 0 and 1 without bounds."""
    whole = given.bounds is not None and all(isinstance(bound, int) for bound in given.bounds)
    dtype = getattr(torch, given.dtype, None) if given.dtype else torch.int64 if whole else otherwise
    if not isinstance(dtype, torch.dtype):
        raise SetupError(
            "--shape", f"unknown dtype '{given.dtype}' in '{given}'; give for example int64, bool or float32"
        )
    try:
        if not (dtype.is_floating_point or dtype.is_complex):
            low, high = map(int, given.bounds or (0, 1))
            return torch.randint(low, high + 1, given.shape, device=device).to(dtype)
        if given.bounds is None:
            return torch.randn(given.shape, device=device, dtype=dtype)
        low_, high_ = given.bounds
        return torch.rand(given.shape, device=device, dtype=dtype) * (high_ - low_) + low_
    except (RuntimeError, OverflowError) as error:
        raise SetupError("--shape", f"PyTorch cannot make such an input: {first_line(error)}") from error


def require_inputs(network: nn.Module, request: Check) -> None:
    """Raise SetupError unless a network's forward takes as many inputs as are asked for, and those names."""
    try:
        signature = inspect.signature(network.forward)
    except ValueError:  # what torch.jit.trace makes has no signature
        return
    names = [each.name for each in request.inputs if each.name]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SetupError("--shape", f"the input {twice!r} is given twice; give one --shape for each")
    try:
        signature.bind(*(each for each in request.inputs if not each.name), **dict.fromkeys(names))
    except TypeError as error:
        forward = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        takes = " and ".join(each.name for each in forward) or "no input"
        named = (
            f"{each.name}=" if each.kind is each.KEYWORD_ONLY else "" for each in forward if each.default is each.empty
        )
        shapes = [word for name in named for word in ("--shape", f"{name}{fitting_shape(network)}")]
        example = shlex.join(["relu-demo", "check", request.target, *shapes])
        words = f"{error}: the network takes {takes}; give one --shape for each, in this order"
        raise SetupError("--shape", f"{words}, for example {example}") from error


def fitting_shape(network: nn.Module) -> str:
    """Return an input that the first layer of a network may take, as --shape takes it."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            return f"2,{layer.in_features}"
        if isinstance(layer, nn.Embedding):
            return f"2,8:0..{layer.num_embeddings - 1}"
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            return sizes((2, layer.in_channels, *[32] * len(layer.kernel_size)))
    return "1,3,8,8"


def blamed(error: NetworkError, request: Check) -> NetworkError:
    """Return an InputError if what a network raised is about the shape or the numbers of its input, else the error."""
    cause = first_line(error.__cause__) if error.__cause__ is not None else ""
    given = " and ".join(map(str, request.inputs)) or "no input"
    whole = [each for each in request.inputs if each.dtype or each.bounds]
    if OF_WHOLE_NUMBERS.search(cause) and not whole:
        shape = str(request.inputs[0]) if request.inputs else "2,16"
        words = f"the network needs whole numbers, and --shape gives random fractions: {error}"
        told = InputError(f"{words}; give their range, for example --shape {shape}:0..9")
    elif OF_RANGES.search(cause) and whole:
        told = InputError(f"with {given} {error}; give a range of smaller numbers")
    elif OF_SHAPES.search(cause):
        told = InputError(f"with {given} {error}; give the shape that the network takes")
    else:
        return error
    told.__cause__ = error.__cause__
    return told
