"""PyTorch's own words for a saved tensor that was overwritten, as it would say them if nobody watched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor

BEGINNING = "one of the variables needed for gradient computation has been modified by an inplace operation"
"""How they begin in every version of PyTorch."""

_RESULTS = re.compile(r"(result|output|out)\d*$")
"""How PyTorch names what a node saved of its own results (tools/autograd/derivatives.yaml)."""

_TRANSLATED = {"Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short"}
"""The types that its messages name as Python does (torch/csrc/Exceptions.cpp)."""


def overwritten_words(tensor: Tensor, saved: Any, version: int) -> str:
    """
    Return what PyTorch raises where backward unpacks a saved tensor whose version counter has moved.

    `tensor` is the saved tensor as it is now, `saved` what the graph holds in its place, `version` the version counter
    when it was saved. Names and hint are worded as this PyTorch does, read from a fault of two elements.
    """
    try:
        node = _saved_its_result(saved) or tensor.grad_fn
    except RuntimeError as error:  # a view that is lost: PyTorch asks for its grad_fn before it compares versions
        return str(error)
    sample = _sample()
    of = f", which is output {tensor.output_nr} of {_named_as(node.name(), sample)}," if node else ""
    kind = f"[{_type(tensor)} [{', '.join(map(str, tensor.shape))}]]"
    versions = f"is at version {tensor._version}; expected version {version} instead."
    return f"{BEGINNING}: {kind}{of} {versions}{sample.partition(' instead.')[2]}"


def _saved_its_result(saved: Any) -> Any:
    """Return the running node if what it saved is its result, which has no grad_fn, or already that of the write."""
    running = getattr(torch._C, "_current_autograd_node", lambda: None)()
    if type(running).__name__ == "CopySlices":  # of a write in place to a view; the node that saved is in it, unseen
        running = _node_in_place(saved.by.place.operation)
        names = [name for name in dir(running) if _RESULTS.search(name)]
    else:
        names = list(saved_as(running, saved))
    # Of a backward's own backward (SigmoidBackwardBackward0) what is called a result is an argument.
    own = "BackwardBackward" not in type(running).__name__
    return running if own and names and all(map(_RESULTS.search, names)) else None


@cache
def _node_in_place(operation: str) -> Any:
    """Return a node such as a function makes in place; None of one that takes more than one tensor."""
    name = operation.strip("_") + "_"
    function: Any = getattr(torch, name, None) or getattr(torch.nn.functional, name, None)
    with torch.enable_grad(), suppress(Exception):
        return function(torch.ones(2, requires_grad=True).clone()).grad_fn
    return None


def _type(tensor: Tensor) -> str:
    """PyTorch translates the names of the oldest types: `torch.FloatTensor`, but `CPUBFloat16Type`."""
    name = tensor.type()
    scalar = name.rpartition(".")[2].removesuffix("Tensor")
    return name if scalar in _TRANSLATED else f"{tensor.device.type.upper()}{scalar}Type"


def saved_as(node: Any, saved: Any) -> Iterator[str]:
    """
    Yield the names by which a node of the graph has saved something: `self`, `result`, `weight`.

    PyTorch 2.6 and older do not tell which of them it is: then it is all names of the node.
    """
    for attribute in dir(node):
        if attribute.startswith("_raw_saved_"):
            with suppress(RuntimeError, AttributeError):
                raw = getattr(node, attribute)
                kept = raw if isinstance(raw, (list, tuple)) else [raw]
                if any(getattr(each, "data", saved) is saved for each in kept):
                    yield attribute.removeprefix("_raw_saved_")


def _named_as(node: str, sample: str) -> str:
    """Some versions print `SigmoidBackward0` and `EluBackward1`, others `Sigmoid` and `Elu1`."""
    return node if "SigmoidBackward" in sample else re.sub(r"Backward0?(\d*)$", r"\1", node)


@cache
def _sample() -> str:
    """PyTorch's words for a small fault. Ask once before hooks are there, which take its own check away."""
    with torch.enable_grad():
        result = torch.ones(2, requires_grad=True).sigmoid()
        result.detach().add_(1)
        try:
            result.sum().backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            return str(error)
    return f"{BEGINNING}: it is at another version instead."


ready = _sample
"""Call it before anything is watched."""
