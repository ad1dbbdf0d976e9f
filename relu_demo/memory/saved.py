"""What a layer's backward keeps, read from its node in the autograd graph, never from a list of our own."""

from __future__ import annotations

import torch
from torch import nn

from relu_demo.tensors.graph import saved_by

RESULT, INPUT, COPY, OTHER = "its result", "its input", "a copy of its input", "another tensor"


def saved(layer: nn.Module, device: str) -> tuple[str, ...]:
    """What the backward of `layer` keeps of what went through it: RESULT, INPUT, COPY or OTHER, in words.

    Runs the layer on a few numbers and looks at what its node keeps: the storage tells the result from the input, the
    values tell a copy.
    Tensors of another shape (weights, BatchNorm's statistics) are left out. Empty where nothing is kept.
    """
    channels = getattr(layer, "num_features", 2)
    leaf = torch.linspace(-2.0, 2.0, 4 * channels, device=device).view(1, channels, 2, 2).requires_grad_()
    tensor = leaf * 1  # in place on a leaf is an error
    values, address = tensor.detach().clone(), tensor.data_ptr()
    result = layer(tensor)
    found = set()
    for kept in saved_by(result.grad_fn):
        if kept.shape != values.shape:
            continue
        if kept.data_ptr() == result.data_ptr():
            found.add(RESULT)
        elif kept.data_ptr() == address:
            found.add(INPUT)
        elif torch.equal(kept, values):
            found.add(COPY)
        else:
            found.add(OTHER)
    return tuple(sorted(found))
