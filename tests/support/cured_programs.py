"""Small programs with one fault each, with the cured line behind the faulty one.

Behind `#=>` stands the cured line, behind `#+>` one that only the cured program has. A comment stands on each line that
SAVES (or makes a write forbidden), WRITES or RAISES. What a program computes is its `result`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import relu_demo
from relu_demo.watching.report import WatchReport

HEAD = """
import torch
import torch.nn.functional as F
from torch import nn
torch.manual_seed(0)
w = torch.rand(4, 3, requires_grad=True)
net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
"""

OVERWRITTEN = {
    "an augmented assignment": """
y = (w * 2).exp()  # SAVES
y *= w + 1  # why not WRITES  #=> y = y * (w + 1)
y.sum().backward()  # RAISES
result = w.grad
""",
    "an item of a dictionary": """
d = {"h": w.exp()}  # SAVES
d["h"] *= 0.5  # WRITES  #=> d["h"] = d["h"] * 0.5
d["h"].sum().backward()  # RAISES
result = w.grad
""",
    "an item of a list that a function is given": """
def shift(kept):
    kept.hs[0] += 1  # WRITES  #=> kept.hs[0] = kept.hs[0] + 1
net.hs = [w.exp()]  # SAVES
shift(net)
net.hs[0].sum().backward()  # RAISES
result = w.grad
""",
    "methods on lines of their own": """
y = w.sigmoid()  # SAVES
z = (y  #=> z = y * 2 + w
    .mul_(2)  # WRITES  #=> DEL
    .add_(w))  # WRITES  #=> DEL
z.sum().backward()  # RAISES
result = w.grad
""",
    "a method beside its tensor": """
y = w.exp()  # SAVES
z = torch.cat([y.sin(), y.mul_(w)])  # SAVES WRITES  #=> z = torch.cat([y.sin(), y * w])
(z.sum() + y.sum()).backward()  # RAISES  #=> (z.sum() + (y * w).sum()).backward()
result = w.grad
""",
    "a function as a statement": """
y = w.tanh()  # SAVES
F.relu(y, inplace=True)  # WRITES  #=> y = F.relu(y)
y.square().sum().backward()  # RAISES
result = w.grad
""",
    "out": """
scale = torch.ones(3)
y = w * scale  # SAVES
torch.mul(scale, 0.5, out=scale)  # WRITES  #=> scale = torch.mul(scale, 0.5)
(y * scale).sum().backward()  # RAISES
result = w.grad
""",
    "an item": """
y = w.exp()  # SAVES
if True: y[0] = 0  # WRITES  #=> y = y * torch.tensor([[0.], [1.], [1.], [1.]])
y.sum().backward()  # RAISES
result = w.grad
""",
    "items that are made of others": """
def roll(h):
    #+> rows = [h[0]]
    for t in range(1, len(h)):
        h[t] += net(h[t - 1])  # WRITES  #=> rows.append(h[t] + net(rows[-1]))
    return h  #=> return torch.stack(rows)
roll(w * 2).sum().backward()  # RAISES
result = w.grad
""",
    "a header that nothing can stand before": """
y = w.exp()  # SAVES
if w is None:
    pass
elif y.clamp_(1.5).sum() > 0:  # WRITES  #=> elif (y := y.clamp(1.5)).sum() > 0:
    pass
y.square().sum().backward()  # RAISES
result = w.grad
""",
    "rows that are chosen by a mask": """
y = w.softmax(-1)  # SAVES
mask = torch.tensor([True, False, True, False])
y[mask] = 0.0  # WRITES  #=> y = y * (~mask[:, None])
y.square().sum().backward()  # RAISES
result = w.grad
""",
    "a module": """
act = nn.Sequential(
    nn.Sigmoid(),  # SAVES
    nn.Dropout(0.5, inplace=True),  # WRITES  #=> nn.Dropout(0.5),
)
y = act(w)
y.sum().backward()  # RAISES
result = w.grad
""",
    "a buffer": """
class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(3))
    def forward(self, x):
        y = x * self.scale  # SAVES  #=> y = x * self.scale.clone()
        self.update(x.detach())
        return y
    def update(self, x):
        self.scale.lerp_(x.std(0), 0.5)  # WRITES
norm = Norm()
(norm(w) + norm(w)).sum().backward()  # RAISES
result = torch.cat([w.grad, norm.scale[None]])
""",
    "a module of another as a statement": """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(inplace=True)  #=> self.act = nn.ReLU()
    def forward(self, x):
        y = x.tanh()  # SAVES
        self.act(y)  # WRITES  #=> y = self.act(y)
        return y
block = Block()
block(w).square().sum().backward()  # RAISES
result = w.grad
""",
    "an attribute of a trainer": """
class Trainer:
    act = nn.ReLU(inplace=True)  #=> act = nn.ReLU()
    def step(self):
        self.h = w.tanh()  # SAVES
        self.act(self.h)  # WRITES  #=> self.h = self.act(self.h)
        self.h.square().sum().backward()  # RAISES
Trainer().step()
result = w.grad
""",
    "another name that a condition gives": """
x = w * 2
y = x.square()  # SAVES  #=> y = x.clone().square()
h = x if w.sum() > 0 else y
h += 1  # WRITES
(y.sum() + h.sum() + x.sum()).backward()  # RAISES
result = w.grad
""",
    "what a helper is given": """
def show(image):
    image.mul_(255).clamp_(0, 255)  # WRITES
y = w * 2
z = y.square()  # SAVES  #=> z = y.clone().square()
show(y.detach())
z.sum().backward()  # RAISES
result = w.grad
""",
    "what a helper is given to write to twice": """
def standardise(t):
    t -= t.mean(0)  # WRITES
    t /= t.std(0) + 1  # SAVES WRITES  #=> t /= t.clone().std(0) + 1
h = net(w).sigmoid()  # SAVES  #=> h = net(w).sigmoid().clone()
standardise(h)
(h * w).sum().backward()  # RAISES
result = w.grad
""",
    "what a loop goes through": """
ys = [w.exp(), w.tanh()]  # SAVES
z = ys[0] * ys[1]  # SAVES
for y in ys:
    y += 1  # WRITES  #=> y = y + 1
    z = z + y
z.sum().backward()  # RAISES
result = w.grad
""",
    "a variable outside of the function": """
y = w * 2
z = y.square()  # SAVES  #=> z = (y * 1).square()
def double():
    y.mul_(2)  # WRITES
double()
(y * z).sum().backward()  # RAISES
result = w.grad
""",
    "a write that is not recorded": """
y = w.exp()  # SAVES  #=> y = w.exp() * 1
with torch.no_grad():
    y.clamp_(max=1.5)  # WRITES
y.square().sum().backward()  # RAISES
result = w.grad
""",
    "a backward of one's own": """
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        twice = 2 * x
        ctx.save_for_backward(twice)  # SAVES
        return x.square()
    @staticmethod
    def backward(ctx, upstream):
        (twice,) = ctx.saved_tensors
        twice *= upstream  # WRITES  #=> twice = twice * upstream
        return twice
y = 0.5 * Square.apply(w).sum()
y.backward(retain_graph=True)
y.backward()  # RAISES
result = w.grad
""",
    "a step before a backward": """
g, opt = nn.Linear(3, 3), torch.optim.SGD(net.parameters(), 0.1)
fake = g(w)
a, b = net(w.detach()).mean(), net(fake)  # SAVES
loss = -b.mean()
a.backward(retain_graph=True)
opt.step()  # WRITES
#+> loss = -net(fake).mean()
loss.backward()  # RAISES
result = w.grad
""",
    "a step in a helper": """
g, opt = nn.Linear(3, 3), torch.optim.SGD(net.parameters(), 0.1)
def update(opt, loss):
    loss.backward(retain_graph=True)  # RAISES
    opt.step()  # WRITES
def train(opt, opt_g):
    score = net(g(w))  # SAVES
    g_loss = -score.mean()
    update(opt, score.mean())
    #+> g_loss = -net(g(w)).mean()
    update(opt_g, g_loss)
train(opt, torch.optim.SGD(g.parameters(), 0.1))
result = w.grad
""",
}
"""Those whose backward raises because a saved tensor was overwritten."""

SILENT = {
    "memory that is handed out": """
y = w.exp()  # SAVES
shown = torch.from_dlpack(y.detach())  # WRITES  #=> shown = torch.from_dlpack(y.detach().clone())
shown /= 60
y.sum().backward()  # RAISES
result = w.grad
""",
    "memory that a helper is to write to": """
def centre(out):
    array = torch.from_dlpack(out)  # WRITES
    array -= array.mean()
y = w * 2
z = y.square()  # SAVES  #=> z = y.clone().square()
centre(y.detach())
z.sum().backward()  # RAISES
result = w.grad + y
""",
    "data that is rounded": """
y = w.tanh()  # SAVES
#+> y = y.clone()
y.data.mul_(4).round_()  # WRITES
(y * w).sum().backward()  # RAISES
result = w.grad
""",
    "data": """
def damp(p):
    flux = p.sin()  # SAVES
    p.data.mul_(0.5)  # WRITES  #=> p = p * 0.5
    return p + flux
damp(w * 2).sum().backward()  # RAISES
result = w.grad
""",
    "weights that are clipped before a backward": """
x = torch.rand(2, 3, requires_grad=True)
score = net(x).mean()  # SAVES
for p in net.parameters():  #=> score.backward()
    p.data.clamp_(-0.01, 0.01)  # WRITES  #=> DEL
score.backward()  # RAISES  #=> for p in net.parameters(): p.data.clamp_(-0.01, 0.01)
result = torch.cat([x.grad, net[0].weight.detach()])
""",
    "a codebook that moves": """
class Codes(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.rand(5, 3))
    def forward(self, z):
        near = z @ self.table.t()  # SAVES  #=> near = z @ (self.table * 1).t()
        self.table.data[near.argmax(1)] = z.detach()  # WRITES
        return near
Codes()(w).exp().sum().backward()  # RAISES
result = w.grad
""",
    "indices of a sparse embedding": """
table, at = nn.Embedding(5, 3, sparse=True), torch.tensor([0, 1])
y = table(at)  # SAVES
at.data.add_(1)  # WRITES  #=> at = at + 1
y.sum().backward()  # RAISES
result = table.weight.grad.to_dense()
""",
    "complex numbers": """
y = torch.complex(w, w).exp()  # SAVES
y.data.add_(1)  # WRITES  #=> y = y + 1
y.abs().sum().backward()  # RAISES
result = w.grad
""",
    "a checkpoint that recomputes": """
from torch.utils.checkpoint import checkpoint
def block(x):
    h = torch.sigmoid(net(x))  # SAVES
    h += x  # WRITES  #=> h = h + x
    return net(h)
checkpoint(block, w, use_reentrant=False).square().sum().backward()  # RAISES
result = w.grad
""",
}
"""Those whose gradients are wrong without a word."""

REFUSED = {
    "a part of an expanded parameter": """
p = nn.Parameter(torch.rand(1, 3))
rows = p.expand(4, 3)  # SAVES  #=> rows = p.expand(4, 3).clone()
rows[:, 0] += w[:, 0]  # WRITES
rows.sum().backward()
result = p.grad
""",
    "expanded": """
y = w.mean(0).expand(4, 3)  # SAVES  #=> y = w.mean(0).expand(4, 3) * 1
y += 1  # WRITES
y.square().sum().backward()
result = w.grad
""",
    "a mask over what was expanded": """
p = w.mean(0).expand(4, 3)  # SAVES  #=> p = w.mean(0).expand(4, 3).clone()
p[p < 0.5] = 0.5  # WRITES
p.square().sum().backward()  # RAISES
result = w.grad
""",
    "rows of a loop": """
y = w * 2
for i, row in enumerate(y):  # SAVES  #=> y = (y - 0.5) / 2
    row.sub_(0.5).div_(2)  # WRITES  #=> DEL
y.square().sum().backward()
result = w.grad
""",
    "what chunk gives": """
value, gate = (w.t() * 2).chunk(2, dim=1)  # SAVES
y = value.mul_(gate.sigmoid())  # WRITES  #=> y = value * gate.sigmoid()
y.sum().backward()
result = w.grad
""",
    "a leaf that is edited": """
loss = (w ** 2).sum()
loss.backward()
w -= (0.1 *  # WRITES  #=> w.data -= (0.1 *
      w.grad)
result = w * w.requires_grad
""",
    "a leaf that a gradient is to reach": """
y = w.detach().requires_grad_()  # SAVES
z = y
def adapt(z):
    z += w  # WRITES  #=> z = z + w
    return z
adapt(y).square().sum().backward()
result = w.grad
""",
    "a tensor that is made a leaf later": """
b = torch.zeros(3)
b.requires_grad_()  # SAVES
b += 1  # WRITES  #=> b.data += 1
result = b
""",
    "a weight that is pruned": """
layer, keep = nn.Linear(3, 3), torch.tensor([[1.0], [0.0], [1.0]])
layer.weight *= keep  # WRITES  #=> layer.weight.data *= keep
result = layer.weight
""",
    "a row of a weight": """
layer = nn.Embedding(3, 2)
row = layer.weight[0]  # SAVES
row.zero_()  # WRITES  #=> row.data.zero_()
result = layer.weight
""",
    "an item of a leaf": """
leaf = torch.zeros(3, requires_grad=True)
leaf[0] = 1.0  # WRITES  #=> leaf.data[0] = 1.0
result = leaf
""",
    "a mask that is its own index": """
keep = torch.tensor([True, False, True])
keep[keep] = torch.tensor([False, True])  # WRITES  #=> keep = torch.tensor([False, False, True])
result = keep
""",
    "what inference mode has made": """
with torch.inference_mode():
    total = net(w).square().sum()  # SAVES
total /= 2  # WRITES  #=> total = total / 2
result = total
""",
    "a layer behind a full hook": """
net.register_full_backward_hook(lambda *given: None)  # SAVES
both = nn.ModuleList([net, nn.ReLU(inplace=True)])  #=> both = nn.ModuleList([net, nn.ReLU()])
both[1](both[0](w)).sum().backward()  # WRITES
result = w.grad
""",
    "a total in vmap": """
total = torch.zeros(3)
def add(x):
    return total.add_(x)  # WRITES  #=> return total + x
result = torch.func.vmap(add)(w)
""",
    "out where a gradient is recorded": """
y = torch.empty(3)
torch.add(w[0], 1, out=y)  # WRITES  #=> y = w[0] + 1
y.square().sum().backward()
result = w.grad
""",
    "a sum whose halves are kept": """
y = net(w)
left, right = y.chunk(2, -1)  # SAVES
y.add_(1)  # WRITES  #=> y = y + 1
(left.sum() + right.sum() + y.square().sum()).backward()  # RAISES
result = w.grad
""",
    "a view that was made without grad": """
y = net(w)
with torch.no_grad():
    first = y[0]  # SAVES
first.mul_(2)  # WRITES  #=> first = first * 2
result = first
""",
}
"""Those whose write PyTorch refuses."""

SURROUNDED = {
    "a gradient that is asked for": """
y = w.tanh()  # SAVES
y[0] = 0  # WRITES  #=> DEL
result = torch.autograd.grad(y.sum(), w)[0]  # RAISES
""",
    "a graph that is retained": """
y = w.sigmoid()  # SAVES
y.sum().backward(retain_graph=True)
y.zero_()  # WRITES  #=> DEL
y.sum().backward()  # RAISES
result = w.grad
""",
    "hooks of a module and of a tensor": """
layer = nn.Sigmoid()
layer.register_forward_hook(lambda module, given, result: None)
layer.register_forward_pre_hook(lambda module, given: None)
y = layer(w)  # SAVES
y.register_hook(lambda gradient: gradient * 2)
y.mul_(2)  # WRITES  #=> DEL
y.sum().backward()  # RAISES
result = w.grad
""",
    "behind checkpoints": """
from torch.utils.checkpoint import checkpoint
y = checkpoint(torch.sin, checkpoint(torch.sin, w, use_reentrant=True), use_reentrant=False).sigmoid()  # SAVES
y.mul_(2)  # WRITES  #=> DEL
y.sum().backward()  # RAISES
result = w.grad
""",
    "autocast and a scaled loss": """
scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
with torch.autocast("cpu", torch.bfloat16):
    y = net(w).sigmoid()  # SAVES
    y.mul_(2)  # WRITES  #=> DEL
    loss = y.sum()
scaler.scale(loss).backward()  # RAISES
result = net[0].weight.grad
""",
    "all parameters at once": """
optimizer = torch.optim.SGD(net.parameters(), 0.1, foreach=True)
y = net(net(w))  # SAVES
y.sum().backward(retain_graph=True)
optimizer.step()  # WRITES  #=> DEL
y.sum().backward()  # RAISES
result = net[0].weight.grad
""",
    "a weight that is given new data": """
scale = nn.Parameter(torch.ones(3))
y = w * scale  # SAVES
scale.data = scale.data * 2  # WRITES  #=> DEL
y.sum().backward()  # RAISES
""",
    "a second derivative": """
hidden = nn.Linear(3, 6)(w).sigmoid()  # SAVES
(slope,) = torch.autograd.grad(nn.Linear(6, 1)(hidden).sum(), w, create_graph=True)  # SAVES
with torch.no_grad():
    hidden.zero_()  # WRITES  #=> hidden = torch.zeros(4, 6)
(slope.norm() - 1).pow(2).backward()  # RAISES
""",
    "a mask that a forward writes through an alias": """
cell, out = nn.RNNCell(3, 4), nn.Linear(4, 1)
h = cell(w)  # SAVES
y = out(h)  # SAVES
#+> h = h.clone()
h.view(-1).detach().mul_(0.5)  # WRITES
(y.sum() + h.sum()).backward()  # RAISES
""",
}
"""Those in a surrounding of their own: with their edits nothing is found."""

SAID = {
    "a loss that is left in an attribute": """
class Gram(nn.Module):
    def forward(self, x):
        flat = x.flatten(1)
        self.loss = (flat @ flat.t()).square().mean()  # SAVES
        return x
gram, act = Gram(), nn.LeakyReLU(0.1, inplace=True)  #=> gram, act = Gram(), nn.LeakyReLU(0.1)
act(gram(net(w)))  # WRITES
gram.loss.backward()  # RAISES
""",
    "the state of an LSTM that is carried": """
cell, head = nn.LSTMCell(3, 4), nn.Linear(4, 1)
optimizer = torch.optim.Adam([*cell.parameters(), *head.parameters()])
h, c = torch.zeros(2, 4), torch.zeros(2, 4)
for _ in range(3):
    h, c = cell(torch.randn(2, 3), (h, c))  # SAVES
    loss = head(h).square().mean()
    optimizer.zero_grad()
    loss.backward(retain_graph=True)  # RAISES
    optimizer.step()  # WRITES
    #+> h, c = h.detach(), c.detach()
""",
    "a loss from outside of a closure": """
optimizer = torch.optim.LBFGS(net.parameters(), max_iter=2)
loss = net(w).square().mean()  # SAVES  #=> DEL
def closure():
    optimizer.zero_grad()
    #+> loss = net(w).square().mean()
    loss.backward(retain_graph=True)  # RAISES
    return loss
optimizer.step(closure)  # WRITES
""",
    "features that are computed once": """
head, optimizer = nn.Linear(3, 1), torch.optim.SGD(net.parameters(), 0.1)
features = net(w)  # SAVES
for _ in range(2):
    head(features).sum().backward(retain_graph=True)  # RAISES
    optimizer.step()  # WRITES  #=> DEL
""",
    "two layers on one line": """
first, second = nn.Linear(3, 3), nn.Linear(3, 1)
both = nn.Sequential(first, second)
score = both(w * torch.ones(3, requires_grad=True)).sum()  # SAVES
def halve():
    with torch.no_grad():
        for each in (first.weight, second.weight):
            each.mul_(0.5)  # WRITES  #=> each.mul(0.5)
halve()
score.backward()  # RAISES
""",
    "an item of what chunk gives": """
halves = (w * 2).chunk(2)  # SAVES
halves[0].mul_(2)  # WRITES  #=> halves = (halves[0] * 2, halves[1])
halves[0].sum().backward()
""",
    "parts in vmap": """
def both(x):
    parts = torch.zeros(2)
    parts[0] = x.sum()  # WRITES  #=> parts = torch.stack([x.sum(), torch.zeros(())])
    return parts
torch.vmap(both)(w.detach())
""",
    "layers in a list": """
layers, y = [nn.Linear(3, 3), nn.Sigmoid(), nn.Hardtanh(0, 0.6, inplace=True)], w  #=> layers, y = [nn.Sigmoid()], w
for layer in layers:
    y = layer(y)  # SAVES WRITES
y.sum().backward()  # RAISES
""",
    "a slope below zero": """
act = nn.LeakyReLU(-0.2, inplace=True)  #=> act = nn.LeakyReLU(-0.2)
network = nn.Sequential(nn.Linear(3, 3), act)  # SAVES
network(w).sum().backward()  # RAISES
""",
    "statistics that a run in training moves": """
encoder = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval()
anchor = encoder(w)  # SAVES
encoder.train()  #=> DEL
positive = encoder(w + 0.1)  # WRITES
(anchor - positive).square().mean().backward()  # RAISES
""",
    "a loss to which each task adds after its step": """
optimizer = torch.optim.SGD(net.parameters(), 0.1)
total = net(w).square().mean()  # SAVES
for _ in range(2):
    net(w).mean().backward()
    optimizer.step()  # WRITES  #=> DEL
    total = total + net(w).square().mean()  # SAVES
total.backward()  # RAISES
""",
    "a loss that is summed over steps": """
optimizer = torch.optim.SGD(net.parameters(), 0.1)
total = torch.zeros(())
for _ in range(3):
    loss = net(torch.randn(2, 3)).square().mean()  # SAVES
    total = total + loss  #=> total = loss
    optimizer.zero_grad()
    total.backward(retain_graph=True)  # RAISES
    optimizer.step()  # WRITES
""",
}
"""Those that no edit cures."""


def faulty_and_cured(text: str) -> tuple[str, str]:
    """The two programs that a text stands for."""
    faulty, cured = HEAD.lstrip().splitlines(), HEAD.lstrip().splitlines()
    for line in text.lstrip().splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        before, _, after = line.partition("#=> ")
        if before.lstrip().startswith("#+> "):
            cured.append(indent + before.lstrip()[4:])
            continue
        faulty.append(before.rstrip())
        cured += [] if after == "DEL" else [indent + after] if after else [before]
    return "\n".join(faulty) + "\n", "\n".join(cured) + "\n"


def run_of(source: str | bytes, file: Path) -> dict[str, Any]:
    """The names of a program once it has run."""
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(source, file, "exec"), names)
    return names


def watched(source: str, file: Path) -> tuple[WatchReport, dict[str, Any] | RuntimeError]:
    """The report on a program that is run from a file under watch; and its names, or what it raised."""
    file.write_text(source)
    try:
        with relu_demo.watch() as watch:
            names = run_of(source, file)
    except RuntimeError as error:
        return watch.report, error
    return watch.report, names
