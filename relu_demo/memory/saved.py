"""What a layer saves for backward, read from its node in the autograd graph and never from a list of our own."""

from __future__ import annotations

import torch
from torch import nn

from relu_demo.tensors.graph import saved_by

RESULT, INPUT, COPY, OTHER = "its result", "its input", "a copy of it", "another tensor"


def saved(layer: nn.Module, device: str) -> tuple[str, ...]:
    """Return which of RESULT, INPUT, COPY and OTHER the layer saves for backward, sorted; empty if none.

    Run the layer on a small tensor of shape (1, C, 2, 2) and look at what its node saved: the address tells the result
    from the input, the values tell a copy. Tensors of another shape (weights, BatchNorm's statistics) do not count.
    """
    channels = getattr(layer, "num_features", 2)
    leaf = torch.linspace(-2.0, 2.0, 4 * channels, device=device).view(1, channels, 2, 2).requires_grad_()
    tensor = leaf * 1  # PyTorch refuses to write in place to a leaf
    values, address = tensor.detach().clone(), tensor.data_ptr()
    result = layer(tensor)
    known = {address: INPUT, result.data_ptr(): RESULT}  # in place the two are one
    return tuple(
        sorted(
            {
                known.get(each.data_ptr(), COPY if torch.equal(each, values) else OTHER)
                for each in saved_by(result.grad_fn)
                if each.shape == values.shape
            }
        )
    )
