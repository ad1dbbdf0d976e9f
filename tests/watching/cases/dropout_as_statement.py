"""Dropout of attention's weights in place, as a statement: softmax saved its result."""

import torch
import torch.nn.functional as F  # noqa: N812


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    queries = torch.randn(3, 4, requires_grad=True)
    weights = F.softmax(queries @ queries.t(), -1)  # SAVES
    if fixed:
        weights = F.dropout(weights, 0.5)
    else:
        F.dropout(weights, 0.5, inplace=True)  # WRITES
    (weights @ queries).sum().backward()  # RAISES
