"""The session of the article's warning: a network with two branches, ReLU in place and not, in both orders."""

from __future__ import annotations

from relu_demo.language import mark
from relu_demo.request import KERNEL, Replay
from relu_demo.session.article import HELPERS, placement, preparation
from relu_demo.session.lines import DIFFERENCES, Line, Moment, Part, Session

X, H1, H2 = Moment("x", mark("x as conv2 reads it")), Moment("h1", "h1"), Moment("h2", "h2")
WEIGHT_GRADIENTS = Moment("conv1_grad", "conv1.weight.grad"), Moment("conv2_grad", "conv2.weight.grad")

AGAIN = tuple(Line(f"{layer}.zero_grad(set_to_none=True)", prepares=True) for layer in ("conv1", "conv2"))
FORWARD = Line("x = conv1(input)")
READ = Line("x", mark("the x that conv2 is about to read"), X)
BACKWARD = "(h1.sum() + h2.sum()).backward()"
SHOW = (Line("h1", moment=H1), Line("h2", moment=H2))
SHOW_GRADIENTS = tuple(Line(moment.title, moment=moment) for moment in WEIGHT_GRADIENTS)

RIGHT = Part(
    "relu_first_out_of_place",
    mark("ReLU first, not in place: the right numbers"),
    (FORWARD, Line("h1 = rl2(x)"), READ, Line("h2 = conv2(x)"), *SHOW, Line(BACKWARD), *SHOW_GRADIENTS),
)


def compared(key: str, title: str, *forward: Line, comment: str = "", cure: bool = False) -> Part:
    """Return a part that runs the network forward and backward from the start, compared with RIGHT."""
    lines = (*AGAIN, FORWARD, *forward, *SHOW, Line(BACKWARD, comment, raises=True), *SHOW_GRADIENTS)
    return Part(key, title, lines, RIGHT.key, cure)


SILENT_FAULT = compared(
    "relu_first_in_place",
    mark("ReLU first, in place: the silent fault"),
    Line("h1 = rl1(x)", mark("overwrites x")),
    READ,
    Line("h2 = conv2(x)", mark("reads what ReLU left")),
    comment=mark("and nothing is said"),
)

LOUD_FAULT = Part(
    "conv2_first_in_place",
    mark("conv2 first, in place: the loud fault"),
    (
        *AGAIN,
        FORWARD,
        READ,
        Line("h2 = conv2(x)", mark("saves x for backward()")),
        Line("h1 = rl1(x)", mark("overwrites x")),
        *SHOW,
        Line(BACKWARD, mark("needs the x that is gone"), raises=True),
    ),
    RIGHT.key,
)

CURES = (
    compared(
        "conv2_first_out_of_place",
        mark("Cure: inplace=False, in this order too"),
        Line("h2 = conv2(x)"),
        Line("h1 = rl2(x)"),
        cure=True,
    ),
    compared(
        "clone",
        mark("Cure: x.clone() before the branch"),
        Line("h1 = rl1(x.clone())", mark("overwrites the copy")),
        Line("h2 = conv2(x)"),
        cure=True,
    ),
    Part(
        "no_backward",
        mark("Cure: conv2 first, without backward()"),
        (Line("with torch.no_grad(): x = conv1(input); h2 = conv2(x); h1 = rl1(x)"), *SHOW),
        RIGHT.key,
        cure=True,
    ),
)

LEAF_FAULT = Part(
    "leaf",
    mark("The third fault: in place on a leaf that requires grad"),
    (
        Line("leaf = torch.randn(3, requires_grad=True)"),
        Line("rl1(leaf)", mark("refused at once"), raises=True),
        Line("leaf", moment=Moment("leaf", "leaf")),
    ),
)


def branches(request: Replay) -> Session:
    """Return the session with three faults of an in-place ReLU, two of them in a network with branches, and the cures.

    conv2 pads its input, so that it accepts an x of any size.
    """
    channels, placed = request.shape[1], placement(request)
    start = preparation(request)
    made = f"conv2 = nn.Conv2d({channels}, {channels}, kernel_size={KERNEL}, padding=1{placed})"
    conv2 = Line(made, step=start.lines[-1].step)
    parts = (Part(start.key, start.title, (*start.lines, conv2)), RIGHT, SILENT_FAULT, LOUD_FAULT, *CURES, LEAF_FAULT)
    title = mark("Two branches that read one tensor: three faults and their cures")
    return Session(request, title, parts, DIFFERENCES, helpers=HELPERS)
