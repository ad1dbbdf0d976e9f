"""The article's own numbers, and the lines that solve conv1 for them. Knows no tensors."""

from __future__ import annotations

from collections.abc import Iterator

O1 = (
    "-.1162, .5905, 1.0601, -.1423, .7013, .1079, .1096, -.3253, -.6799",
    ".3407, .5013, -.2121, -.6805, -.8362, .3360, 1.1606, -.2564, .2965",
    ".4317, -.2480, .2381, -.0314, -.0850, .1920, -.2762, .0338, -.2298",
)
"""o1 as the article prints it before ReLU: each channel's 3 by 3 numbers, row by row."""


def solving(device: str, placement: str) -> Iterator[tuple[str, str]]:
    """The lines, each with a comment, after which `conv1(input)` gives O1. `placement` ends the call that makes it.

    They need the default shape, of 9 places under the kernel with 27 numbers each: 9 equations for the 27 weights of
    each channel. There is an exact solution for any input whose 9 places are linearly independent.
    """
    for channel, numbers in enumerate(O1):
        yield f"c{channel} = [{numbers}]", ""
    yield f"article = torch.tensor([c0, c1, c2]{placement})", "its o1, a row for each channel"
    yield "missing = article - conv1.bias[:, None]", "what the weights must give"
    yield "seen = nn.functional.unfold(input, 3)[0]", "a column for each place of conv1"
    yield "solved = missing @ torch.linalg.pinv(seen)", "by least squares"
    yield "conv1.weight = nn.Parameter(solved.view(3, 3, 3, 3))", "now o1 is article's"
    if device.startswith("cuda"):
        # Its default, TF32, keeps 10 bits of each factor: three decimals and not four
        # (PyTorch documentation, "CUDA semantics").
        yield "torch.backends.cudnn.allow_tf32 = False", "four decimals need all of float32"
