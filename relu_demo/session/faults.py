"""The pages of `relu-demo explain`: each fault that `watch` and `check` can name, in a few lines, and its cure.

Each page is a session of three parts. The preparation computes the right numbers some other way, and the two others
are compared with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from relu_demo.errors import BadInput, nearest
from relu_demo.language import _, mark
from relu_demo.request import Explain, Rules
from relu_demo.session.lines import EXPLAINED, Line, Moment, Part, Session

DOCUMENTATION = "https://pytorch.org/docs/stable/"
NOTES = f"{DOCUMENTATION}notes/autograd.html"
CORRECTNESS = f"{NOTES}#in-place-correctness-checks"

PREPARED = mark("import PyTorch, set the seed, and compute the right numbers another way")
"""What the lines of the preparation do, which are one step."""


@dataclass(frozen=True)
class FaultPage:
    """One fault: the text of each part as one would type it, with comments."""

    name: str
    """Names the fault in a finding of `watch` and `check`, too."""
    sentence: str
    """What goes wrong."""
    documentation: str
    """The page of PyTorch's documentation."""
    prepared: str
    """Ends with the right numbers, as `right`."""
    fault: str
    cure: str
    written: str = "w"
    """The tensor that is overwritten, or that may not be."""
    numbers: str = "w.grad"
    """The tensor that has to be `right`."""
    raises: bool = True
    """Whether the fault's last line raises, so that there is no result."""


PAGES = (
    FaultPage(
        "saved-tensor",
        mark("A write in place reaches a tensor that backward() needs."),
        CORRECTNESS,
        """
x = torch.randn(3, requires_grad=True)
right = 2 * x.detach().exp()  # the derivative of 2 * exp(x)
""",
        """
y = x.exp()  # saves its result y for backward()
y *= 2  # overwrites y
y.sum().backward()  # needs the y that is gone
""",
        """
y = x.exp()
y = y * 2  # a new tensor
y.sum().backward()
""",
        written="y",
        numbers="x.grad",
    ),
    FaultPage(
        "step-before-backward",
        mark("A step overwrites weights that backward() still needs."),
        CORRECTNESS,
        """
w = nn.Parameter(torch.randn(3))
opt = torch.optim.SGD([w], lr=0.5)
right = 2 * (w.detach() - 0.5)  # of the loss w ** 2, after one step
""",
        """
first = w.sum()
second = (w ** 2).sum()  # saves w for backward()
first.backward()
opt.step()  # overwrites w
second.backward()  # needs the w before the step
""",
        """
opt.zero_grad()
second = (w ** 2).sum()  # computed after the step
second.backward()
""",
    ),
    FaultPage(
        "earlier-step",
        mark("backward() goes on into the graph of an earlier step."),
        f"{NOTES}#saved-tensors",
        """
start = torch.randn(3)
right = 1 + start + start * (start - 0.5)  # the sum of h before each step
""",
        """
w = nn.Parameter(start.clone())
opt = torch.optim.SGD([w], lr=0.5)
h = torch.ones(3)
for step in range(3):
    h = h * w  # saves w; the graph of each step hangs on to h
    h.sum().backward(retain_graph=True)  # raises in the third step
    opt.step()  # overwrites w
""",
        """
w = nn.Parameter(start.clone())
opt = torch.optim.SGD([w], lr=0.5)
h = torch.ones(3)
for step in range(3):
    h = h.detach() * w  # each step has a graph of its own
    h.sum().backward()
    opt.step()
""",
    ),
    FaultPage(
        "shared-version-counter",
        mark("A write to one part counts for all views of a tensor."),
        CORRECTNESS,
        """
start = torch.randn(4)
right = torch.cat([2 * start[:2], torch.zeros(2)])  # of the loss x[:2] ** 2
""",
        """
x = start.clone().requires_grad_()
both = x * 1
half = both[:2] ** 2  # saves the first half
both[2:] *= 3  # overwrites the second half
half.sum().backward()  # raises, though its half is whole
""",
        """
x = start.clone().requires_grad_()
both = x * 1
half = both[:2].clone() ** 2  # the copy has a counter of its own
both[2:] *= 3
half.sum().backward()
""",
        written="both",
        numbers="x.grad",
    ),
    FaultPage(
        "data",
        mark("A write through .data is not counted: wrong gradients."),
        CORRECTNESS,
        """
start = torch.randn(3)
right = 2 * start  # the derivative of start ** 2
""",
        """
w = nn.Parameter(start.clone())
loss = (w ** 2).sum()  # saves w for backward()
w.data *= 3  # overwrites w; no counter moves
loss.backward()  # computes with the new w
""",
        """
w = nn.Parameter(start.clone())
loss = (w ** 2).sum()
loss.backward()  # before the write
with torch.no_grad(): w *= 3  # a write that is counted
""",
        raises=False,
    ),
    FaultPage(
        "shared-memory",
        mark("NumPy or DLPack writes to a tensor, and none counts it."),
        f"{DOCUMENTATION}generated/torch.from_dlpack.html",
        """
start = torch.randn(3)
right = 2 * start  # the derivative of start ** 2
""",
        """
w = nn.Parameter(start.clone())
loss = (w ** 2).sum()  # saves w for backward()
alias = torch.from_dlpack(w.detach())  # as w.detach().numpy() does
alias *= 3  # overwrites w, past its counter
loss.backward()  # computes with the new w
""",
        """
w = nn.Parameter(start.clone())
loss = (w ** 2).sum()
alias = torch.from_dlpack(w.detach().clone())  # the memory of a copy
alias *= 3
loss.backward()
""",
        raises=False,
    ),
    FaultPage(
        "saved-tensors-hooks",
        mark("Under hooks on saved tensors no version is compared."),
        f"{NOTES}#hooks-for-saved-tensors",
        """
hooks = torch.autograd.graph.saved_tensors_hooks
start = torch.randn(3)
right = 2 * start  # the derivative of start ** 2
""",
        """
x = start.clone().requires_grad_()
h = x * 1
with hooks(lambda h: h, lambda h: h): y = h ** 2  # they keep h itself
h *= 3  # overwrites h; its counter moves
y.sum().backward()  # computes with the new h
""",
        """
x = start.clone().requires_grad_()
h = x * 1
with hooks(lambda h: h.clone(), lambda h: h): y = h ** 2  # a copy
h *= 3
y.sum().backward()
""",
        written="h",
        numbers="x.grad",
        raises=False,
    ),
    FaultPage(
        "running-statistics",
        mark("BatchNorm overwrites statistics that backward() needs."),
        f"{DOCUMENTATION}generated/torch.nn.BatchNorm1d.html",
        """
x = torch.randn(4, 3, requires_grad=True)
bn = nn.BatchNorm1d(3).eval()
right = torch.autograd.grad(bn(x).sum(), x)[0]
""",
        """
y = bn(x)  # saves bn.running_var
_ = bn.train()(10 * x.detach())  # overwrites it; no counter moves
y.sum().backward()  # computes with the new statistics
""",
        """
x, bn = x.detach().clone().requires_grad_(), nn.BatchNorm1d(3).eval()
y = bn(x)
y.sum().backward()  # before the statistics move
_ = bn.train()(10 * x.detach())
""",
        written="bn.running_var",
        numbers="x.grad",
        raises=False,
    ),
    FaultPage(
        "leaf",
        mark("A leaf that requires grad is written to in place."),
        f"{NOTES}#setting-requires-grad",
        """
start = torch.randn(3)
right = 4 * start  # of w ** 2, with the doubled w
""",
        """
w = nn.Parameter(start.clone())
w *= 2  # refused at once
""",
        """
w = nn.Parameter(start.clone())
with torch.no_grad(): w *= 2  # autograd records nothing here
(w ** 2).sum().backward()
""",
    ),
    FaultPage(
        "view-of-a-leaf",
        mark("A part of a leaf that requires grad is written to."),
        f"{DOCUMENTATION}tensor_view.html",
        """
start = torch.randn(2, 3)
right = torch.cat([torch.zeros(1, 3), 2 * start[1:]])
""",
        """
w = nn.Parameter(start.clone())
w[0] = 0  # refused at once
""",
        """
w = nn.Parameter(start.clone())
with torch.no_grad(): w[0] = 0  # autograd records nothing here
(w ** 2).sum().backward()
""",
    ),
    FaultPage(
        "several-views",
        mark("One of several views from one call is written to."),
        f"{DOCUMENTATION}generated/torch.chunk.html",
        """
start = torch.randn(4)
right = 2 * torch.cat([start[2:], start[:2]])  # of the loss 2 * a * b
""",
        """
x = start.clone().requires_grad_()
a, b = (x * 1).chunk(2)  # one call, two views
a *= 2  # refused at once
""",
        """
x = start.clone().requires_grad_()
a, b = (x * 1).chunk(2)
a = a * 2  # a new tensor
(a * b).sum().backward()
""",
        written="a",
        numbers="x.grad",
    ),
    FaultPage(
        "overwritten-base",
        mark("The tensor behind several views is written to."),
        f"{DOCUMENTATION}tensor_view.html",
        """
start = torch.randn(4)
right = 4 * torch.cat([start[2:], start[:2]])  # of the loss 2a * 2b
""",
        """
x = start.clone().requires_grad_()
h = x * 1
a, b = h.chunk(2)  # two views of h
h *= 2  # overwrites both
(a * b).sum().backward()  # neither may be used
""",
        """
x = start.clone().requires_grad_()
h = x * 1
h *= 2
a, b = h.chunk(2)  # the views after the write
(a * b).sum().backward()
""",
        written="h",
        numbers="x.grad",
    ),
    FaultPage(
        "expanded",
        mark("An expanded tensor, whose rows are one, is written to."),
        f"{DOCUMENTATION}generated/torch.Tensor.expand.html",
        """
start = torch.randn(3)
right = torch.stack([2 * start, 2 * start])
""",
        """
rows = start.expand(2, 3)  # two rows, one memory
rows *= 2  # refused at once
""",
        """
rows = start.expand(2, 3).clone()  # each row has its own
rows *= 2
""",
        written="rows",
        numbers="rows",
    ),
    FaultPage(
        "overlap",
        mark("What is written is read from the memory written to."),
        f"{DOCUMENTATION}generated/torch.clone.html",
        """
start = torch.randn(4)
right = torch.cat([start[:1], start[1:] + start[:-1]])
""",
        """
total = start.clone()
total[1:] += total[:-1]  # which of the two comes first?
""",
        """
total = start.clone()
total[1:] += total[:-1].clone()  # read before anything is written
""",
        written="total",
        numbers="total",
    ),
    FaultPage(
        "inference-tensor",
        mark("An inference tensor is written to outside of that mode."),
        f"{NOTES}#inference-mode",
        """
start = torch.randn(3)
right = 2 * start + start
""",
        """
with torch.inference_mode(): total = 2 * start  # an inference tensor
total += start  # refused at once
""",
        """
with torch.inference_mode(): total = 2 * start
total = total.clone()  # made outside: an ordinary tensor
total += start
""",
        written="total",
        numbers="total",
    ),
    FaultPage(
        "no-grad-view",
        mark("A view made under no_grad() is written to outside of it."),
        f"{DOCUMENTATION}generated/torch.no_grad.html",
        """
start = torch.randn(4)
right = torch.cat([8 * start[:2], 2 * start[2:]])  # of the loss h ** 2
""",
        """
x = start.clone().requires_grad_()
h = x * 1
with torch.no_grad(): a = h[:2]  # autograd does not know this view
a *= 2  # refused at once
""",
        """
x = start.clone().requires_grad_()
h = x * 1
h[:2] *= 2  # the view and the write in one mode
(h ** 2).sum().backward()
""",
        written="a",
        numbers="x.grad",
    ),
    FaultPage(
        "backward-hook",
        mark("A layer with a backward hook has its output written to."),
        f"{DOCUMENTATION}generated/torch.nn.Module.html",
        """
layer, x = nn.Linear(3, 3), torch.randn(2, 3, requires_grad=True)
right = torch.autograd.grad(layer(x).relu().sum(), x)[0]
handle = layer.register_full_backward_hook(lambda *given: None)
""",
        """
y = layer(x)  # the hook makes it a view
y = nn.functional.relu(y, inplace=True)  # refused at once
""",
        """
y = layer(x)
y = nn.functional.relu(y)  # a new tensor
y.sum().backward()
""",
        written="y",
        numbers="x.grad",
    ),
    FaultPage(
        "custom-function",
        mark("A view that a custom Function returned is written to."),
        f"{DOCUMENTATION}notes/extending.html#extending-torch-autograd",
        """
class Half(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x[:2]
    @staticmethod
    def backward(ctx, grad): return torch.cat([grad, torch.zeros(2)])
start = torch.randn(4)
right = torch.cat([8 * start[:2], torch.zeros(2)])  # of the loss (2y) ** 2
""",
        """
x = start.clone().requires_grad_()
y = Half.apply(x * 1)  # a view of its input
y *= 2  # refused at once
""",
        """
x = start.clone().requires_grad_()
y = Half.apply(x * 1).clone()
y *= 2
(y ** 2).sum().backward()
""",
        written="y",
        numbers="x.grad",
    ),
    FaultPage(
        "negative-slope",
        mark("LeakyReLU in place has a slope below zero."),
        f"{DOCUMENTATION}generated/torch.nn.functional.leaky_relu.html",
        """
start = torch.randn(3)
right = torch.where(start > 0, torch.tensor(1.0), torch.tensor(-0.5))
""",
        """
x = start.clone().requires_grad_()
y = nn.functional.leaky_relu(x * 1, -0.5, inplace=True)
y.sum().backward()  # which numbers were below zero?
""",
        """
x = start.clone().requires_grad_()
y = nn.functional.leaky_relu(x * 1, -0.5)  # keeps its input
y.sum().backward()
""",
        written="y",
        numbers="x.grad",
    ),
    FaultPage(
        "vmap",
        mark("Inside vmap a tensor without the batch is written to."),
        f"{DOCUMENTATION}generated/torch.vmap.html",
        """
total, rows = torch.randn(3), torch.randn(2, 3)
right = rows + total
""",
        """
sums = torch.vmap(lambda row: total.add_(row))(rows)  # one total, two rows
""",
        """
sums = torch.vmap(lambda row: total + row)(rows)  # a new tensor a row
""",
        written="total",
        numbers="sums",
    ),
    FaultPage(
        "out",
        mark("out= is given, and an argument requires grad."),
        f"{DOCUMENTATION}generated/torch.mul.html",
        """
start = torch.randn(3)
right = 8 * start  # of the loss (2x) ** 2
""",
        """
x, y = start.clone().requires_grad_(), torch.zeros(3)
torch.mul(x, 2, out=y)  # refused at once
""",
        """
x = start.clone().requires_grad_()
y = torch.mul(x, 2)
(y ** 2).sum().backward()
""",
        written="y",
        numbers="x.grad",
    ),
    FaultPage(
        "eaten-skip",
        mark("A layer overwrites what a skip connection reads later."),
        f"{DOCUMENTATION}generated/torch.nn.ReLU.html",
        """
def block(x):
    h = 2 * x
    return relu(h) + h  # the skip adds the h that relu has left
start = torch.rand(3) - 1  # below zero
right = (2 * start).relu() + 2 * start
""",
        """
relu = nn.ReLU(inplace=True)  # overwrites h
y = block(start)
""",
        """
relu = nn.ReLU()
y = block(start)
""",
        written="y",
        numbers="y",
        raises=False,
    ),
    FaultPage(
        "input-overwritten",
        mark("A function overwrites its caller's tensor."),
        f"{NOTES}#in-place-operations-with-autograd",
        """
start = torch.randn(3)
right = start.clone()  # the caller's numbers
""",
        """
def center(x):
    return x.sub_(x.mean())
data = start.clone()
y = center(data)  # overwrites data
""",
        """
def center(x):
    return x - x.mean()
data = start.clone()
y = center(data)
""",
        written="data",
        numbers="data",
        raises=False,
    ),
    FaultPage(
        "forward-hook",
        mark("A layer overwrites what a forward hook keeps."),
        f"{DOCUMENTATION}generated/torch.nn.Module.html",
        """
kept, layer, start = [], nn.Linear(3, 8), torch.randn(4, 3)
handle = layer.register_forward_hook(lambda *given: kept.append(given[-1]))
right = layer(start)
""",
        """
net = nn.Sequential(layer, nn.ReLU(inplace=True))
y = net(start)  # overwrites what the hook keeps
seen = kept[-1]
""",
        """
net = nn.Sequential(layer, nn.ReLU())
y = net(start)
seen = kept[-1]
""",
        written="seen",
        numbers="seen",
        raises=False,
    ),
    FaultPage(
        "alias-read",
        mark("A tensor has two names: one writes, the other reads."),
        f"{DOCUMENTATION}tensor_view.html",
        """
start = torch.randn(3)
right = (start + 1) + start
""",
        """
h = start.clone()
skip = h  # no copy: another name
h += 1  # overwrites both
out = h + skip  # skip is not what it was
""",
        """
h = start.clone()
skip = h.clone()
h += 1
out = h + skip
""",
        written="skip",
        numbers="out",
        raises=False,
    ),
)
"""Every page, in the order of the list: what raises in backward(), what nobody says, what is refused, what is read."""


def page_named(name: str) -> FaultPage:
    """Return the page of a name. Raise BadInput where there is none, and propose the nearest."""
    pages = {page.name: page for page in PAGES}
    if name in pages:
        return pages[name]
    if near := nearest(name, pages):
        raise BadInput(_("there is no page {name!r}; did you mean {near}?", name=name, near=near))
    raise BadInput(_("there is no page {name!r}; relu-demo explain lists all", name=name))


def explain(request: Explain) -> Session:
    """Return the session of a page. Raise BadInput where there is none of that name."""
    page = page_named(request.name)
    prepared, fault, cure = (tuple(lines_in(text)) for text in (page.prepared, page.fault, page.cure))
    imports = ["import torch", *["import torch.nn as nn"] * ("nn." in page.prepared + page.fault)]
    seed = Line(f"_ = torch.manual_seed({request.seed})", mark("with this seed, these numbers"))
    start = tuple(replace(line, step=PREPARED) for line in (*map(Line, imports), seed, *prepared))
    written = Line(page.written, moment=Moment("written", page.written))
    result = Moment("result", page.numbers)
    shown = Line(page.numbers, moment=result)
    looks = [written] * (page.raises or page.written != page.numbers) + [shown] * (not page.raises)
    # Another PyTorch may raise at another line, and is then found out by the claims.
    fault, cure = (tuple(replace(line, raises=True) for line in lines) for lines in ((*fault, *looks), (*cure, shown)))
    parts = (
        Part("preparation", mark("Preparation"), (*start, Line("right", moment=result))),
        Part("fault", mark("The fault"), fault, "preparation"),
        Part("cure", mark("The cure"), cure, "preparation", cure=True),
    )
    return Session(
        request,
        mark("{name}: {sentence}", name=page.name, sentence=page.sentence),
        parts,
        EXPLAINED,
        documentation=page.documentation,
    )


def lines_in(text: str) -> Iterator[Line]:
    """Yield the lines of a text. What is indented belongs to the line above it."""
    for source in re.split(r"\n(?! )", text.strip()):
        code, _hash, comment = source.partition("  # ") if "\n" not in source else (source, "", "")
        yield Line(code, mark(comment))


@dataclass(frozen=True)
class RulesReport:
    """The faults that `watch` and `check` can name, each with a page of its own."""

    torch_version: ClassVar[str] = ""
    ok: ClassVar[bool] = True
    request: Rules
    """What was asked for."""
    rules: tuple[FaultPage, ...] = PAGES
    """Every page, in the order of the list."""
