"""The random inputs of a network: made from the shapes that were asked for, and recognised as what it refuses."""

from __future__ import annotations

import inspect
import re

import torch
from torch import Tensor, nn

from relu_demo.errors import InputError, NetworkError, SetupError, first_line
from relu_demo.request import Check, sizes

OF_SHAPES = re.compile(
    r"shape|\bsizes?\b|dimension|channels|values? to unpack|tuple index out of range|out of bounds|input features|"
    r"wrong image|more than 1 value per channel",
    re.IGNORECASE,
)
"""What an error says that PyTorch, Python or a network raises for an input of another shape than it needs."""

OF_WHOLE_NUMBERS = re.compile(r"Long, Int|type Long|LongTensor|used as indices|index tensor")
"""What an error of PyTorch says for an input of fractions that has to be one of indices."""


def random_inputs(request: Check, network: nn.Module, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Return a tensor of random numbers for each shape. Raise SetupError for too few, too many or impossible ones."""
    require_shapes(network, len(request.shapes))
    try:
        return tuple(torch.randn(shape, device=device, dtype=dtype) for shape in request.shapes)
    except RuntimeError as error:
        raise SetupError("--shape", f"PyTorch cannot make such an input: {first_line(error)}") from error


def require_shapes(network: nn.Module, given: int) -> None:
    """Raise SetupError unless a network's forward takes so many inputs."""
    try:
        forward = inspect.signature(network.forward).parameters.values()
    except ValueError:  # what torch.jit.trace makes has no signature
        return
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    taken = [parameter for parameter in forward if parameter.kind in positional]
    needed = [parameter.name for parameter in taken if parameter.default is parameter.empty]
    if len(needed) > given:
        words = f"the network takes {' and '.join(needed)}; give one --shape for each, in this order"
        raise SetupError("--shape", words)
    if given > len(taken) and not any(parameter.kind is parameter.VAR_POSITIONAL for parameter in forward):
        takes = " and ".join(parameter.name for parameter in taken) or "no input"
        raise SetupError(
            "--shape", f"{given} shapes are too many: the network takes {takes}; give one --shape for each"
        )


def blamed(error: NetworkError, request: Check) -> NetworkError:
    """Return an InputError if what a network raised is about the shape or the numbers of its input, else the error."""
    cause = first_line(error.__cause__) if error.__cause__ is not None else ""
    if OF_WHOLE_NUMBERS.search(cause):
        words = f"the network needs whole numbers, and --shape gives random fractions: {error}"
        told = InputError(f"{words}; check it in Python, with relu_demo.check(model, input)")
    elif OF_SHAPES.search(cause):
        shapes = " and ".join(map(sizes, request.shapes))
        told = InputError(f"with {shapes or 'no input'} {error}; give the shape that the network takes")
    else:
        return error
    told.__cause__ = error.__cause__
    return told
