"""The article's session: its lines, its own numbers, and the lines that choose conv1's weights to give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from relu_demo.language import mark
from relu_demo.request import KERNEL, WHOLE, Replay
from relu_demo.session.lines import ANSWER, BESIDE, MOMENTS, Line, Moment, Part, Session

O1 = (
    "-.1162, .5905, 1.0601, -.1423, .7013, .1079, .1096, -.3253, -.6799",
    ".3407, .5013, -.2121, -.6805, -.8362, .3360, 1.1606, -.2564, .2965",
    ".4317, -.2480, .2381, -.0314, -.0850, .1920, -.2762, .0338, -.2298",
)
"""o1 before ReLU as the article prints it: the 3 by 3 numbers of each channel, row by row."""

HELPERS = ("article", "missing", "seen", "solved")
"""The tensors that the lines of `solving` make on the way."""

PREPARING = mark("import PyTorch, set the seed, make the layers and the input")
SOLVING = mark("choose conv1's weights for the article's o1")
"""What the lines of the preparation do, in the two steps that they are."""


def solving(device: str, placed: str) -> Iterator[tuple[str, str]]:
    """Yield the lines, each with a comment, after which `conv1(input)` returns O1.

    `placed` has the device and dtype arguments of a call. The input has the default shape: each channel of o1 gives
    9 equations, one for each position of the kernel, for its 27 weights. They have an exact solution if the 9 patches
    of the input are linearly independent.
    """
    for channel, numbers in enumerate(O1):
        yield f"c{channel} = [{numbers}]", ""
    yield f"article = torch.tensor([c0, c1, c2]{placed})", mark("its o1, a row for each channel")
    yield "missing = article - conv1.bias[:, None]", mark("what the weights must give")
    yield "seen = nn.functional.unfold(input, 3)[0]", mark("a column for each place of conv1")
    yield "solved = missing @ torch.linalg.pinv(seen)", mark("by least squares")
    yield "conv1.weight = nn.Parameter(solved.view(3, 3, 3, 3))", mark("now o1 is article's")
    if device.startswith("cuda"):
        # By default cuDNN convolves in TF32, whose mantissa has 10 bits: three decimals, not four (PyTorch
        # documentation, "CUDA semantics").
        yield "torch.backends.cudnn.allow_tf32 = False", mark("four decimals need all of float32")


def placement(request: Replay) -> str:
    """Return the last arguments of a call that makes a tensor or a layer on the request's device with its dtype."""
    device = f', device="{request.device}"' if request.device != Replay.device else ""
    dtype = f", dtype=torch.{request.dtype}" if request.dtype != Replay.dtype else ""
    return device + dtype


def preparation(request: Replay) -> Part:
    """Return the lines that both halves share: seed, layers and input. Default arguments are left out."""
    channels, placed = request.shape[1], placement(request)
    shape = ", ".join(map(str, request.shape))
    lines = (
        Line("import torch"),
        Line("import torch.nn as nn"),
        Line(f"torch.manual_seed({request.seed})", mark("with this seed, these numbers")),
        Line(f"conv1 = nn.Conv2d({channels}, {channels}, kernel_size={KERNEL}{placed})"),
        Line("rl1 = nn.ReLU(inplace=True)", mark("overwrites its input")),
        Line("rl2 = nn.ReLU()", mark("leaves its input alone")),
        Line(f"input = torch.randn({shape}{placed})"),
    )
    solved = solving(request.device, placed) if request.article else ()
    return Part(
        "preparation",
        mark("Preparation"),
        (
            *(replace(line, step=PREPARING) for line in lines),
            *(Line(source, comment, step=SOLVING) for source, comment in solved),
        ),
    )


IN_PLACE = Part(
    "in_place",
    mark("In place"),
    (
        Line("o1 = conv1(input)"),
        Line("id(o1)"),
        Line("o1", mark("before"), Moment("o1_before", mark("o1 before"), "ThnnConv2DBackward")),
        Line("h1 = rl1(o1)", mark("in place")),
        Line("id(h1)", mark("the id of o1?")),
        Line("o1", mark("the same name: the same numbers?"), Moment("o1_after", mark("o1 after"), "ReluBackward1")),
        Line("h1", "", Moment("h1", "h1", "ReluBackward1")),
    ),
    reference="in_place",
)

OUT_OF_PLACE = Part(
    "out_of_place",
    mark("Not in place"),
    (
        Line("o1 = conv1(input)", mark("the same layer, the same input")),
        Line("id(o1)"),
        Line("o1", mark("before"), Moment("o1_before", mark("o1 before"), "ThnnConv2DBackward")),
        Line("h1 = rl2(o1)", mark("not in place")),
        Line("id(h1)", mark("the id of o1?")),
        Line("o1", mark("the same numbers?"), Moment("o1_after", mark("o1 after"), "ThnnConv2DBackward")),
        Line("h1", "", Moment("h1", "h1", "ReluBackward0")),
    ),
    reference="out_of_place",
)

ARTICLE: Mapping[str, tuple[str, tuple[Part, ...], str]] = {
    WHOLE: (mark("nn.ReLU(inplace=True) and nn.ReLU()"), (IN_PLACE, OUT_OF_PLACE), ANSWER),
    "inplace": (mark("With inplace=True"), (IN_PLACE,), MOMENTS),
    "no-inplace": (mark("With inplace=False"), (OUT_OF_PLACE,), MOMENTS),
    "compare": (mark("nn.ReLU(inplace=True) and nn.ReLU(), side by side"), (IN_PLACE, OUT_OF_PLACE), BESIDE),
}
"""The scenarios that replay the article's session, by name: a title, the parts after the preparation, the layout."""


def article(request: Replay) -> Session:
    """Return the article's session for the request's scenario. Raise KeyError if that is no key of ARTICLE."""
    title, halves, layout = ARTICLE[request.scenario]
    return Session(request, title, (preparation(request), *halves), layout, helpers=HELPERS)
