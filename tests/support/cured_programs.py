"""
Small programs with one fault each, with the lines that a watch names and the cured line behind the faulty one.

`# WRITES mul_` marks a line and PyTorch's name of what runs there; behind `#=>` stands the cured line, behind `#+>` one
that only the cured program has. What a program computes is its `result`.
"""

from __future__ import annotations

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
y = (w * 2).exp()  # SAVES exp
y *= w + 1  # why not  # WRITES __imul__  #=> y = y * (w + 1)
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "one whose value binds tighter": """
y = w.exp()  # SAVES exp
y -= w * 2  # WRITES __isub__  #=> y = y - w * 2
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "one whose value does not": """
y = w.exp()  # SAVES exp
y -= w - (1 -  # WRITES __isub__  #=> y = y - (w - (1 -
      w)  #=> w))
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "an attribute": """
class State: pass
s = State()
s.h = w.exp()  # SAVES exp
s.h += 1  # WRITES __iadd__  #=> s.h = s.h + 1
s.h.sum().backward()  # RAISES backward
result = w.grad
""",
    "an item of a dictionary": """
d = {"h": w.exp()}  # SAVES exp
d["h"] *= 0.5  # WRITES __imul__  #=> d["h"] = d["h"] * 0.5
d["h"].sum().backward()  # RAISES backward
result = w.grad
""",
    "a method as a statement": """
y = w.sigmoid()  # SAVES sigmoid
y.mul_(2).add_(w); z = 0  # WRITES mul_  #=> y = y.mul(2).add(w); z = 0
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "methods on lines of their own": """
y = w.sigmoid()  # SAVES sigmoid
z = (y  #=> z = y * 2 + w
    .mul_(2)  # WRITES mul_  #=> DEL
    .add_(w))  #=> DEL
z.sum().backward()  # RAISES backward
result = w.grad
""",
    "a method with no other form": """
y = (w.t() @ w).exp()  # SAVES exp
y.fill_diagonal_(0)  # WRITES fill_diagonal_  #=> y = y * (1 - torch.eye(3))
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "a method whose value is used, and its tensor too": """
y = w.exp()  # SAVES exp
z = y.sub_(1)  # WRITES sub_  #=> z = y = y - 1
(y.sum() + z.square().sum()).backward()  # RAISES backward
result = w.grad
""",
    "a method beside its tensor": """
y = w.exp()  # SAVES exp
z = torch.cat([y.sin(), y.mul_(w)])  # WRITES mul_  #=> z = torch.cat([y.sin(), y * w])
(z.sum() + y.sum()).backward()  # RAISES backward  #=> (z.sum() + (y * w).sum()).backward()
result = w.grad
""",
    "a function as a statement": """
y = w.tanh()  # SAVES tanh
F.relu(y, inplace=True)  # WRITES relu  #=> y = F.relu(y)
y.square().sum().backward()  # RAISES backward
result = w.grad
""",
    "a function with inplace in its place": """
y = w.tanh()  # SAVES tanh
y = F.elu(y, 1.0, True)  # WRITES elu  #=> y = F.elu(y)
y.square().sum().backward()  # RAISES backward
result = w.grad
""",
    "a function with an underscore": """
y = w.tanh()  # SAVES tanh
z = torch.relu_(y)  # WRITES relu_  #=> z = torch.relu(y)
z.square().sum().backward()  # RAISES backward
result = w.grad
""",
    "out": """
scale = torch.ones(3)
y = w * scale  # SAVES mul
torch.mul(scale, 0.5, out=scale)  # WRITES mul  #=> scale = torch.mul(scale, 0.5)
(y * scale).sum().backward()  # RAISES backward
result = w.grad
""",
    "an item": """
y = w.exp()  # SAVES exp
if True: y[0] = 0  # WRITES __setitem__  #=> y = y * torch.tensor([[0.], [1.], [1.], [1.]])
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "items that are made of others": """
def roll(h):
    #+> rows = [h[0]]
    for t in range(1, len(h)):
        h[t] += net(h[t - 1])  # SAVES linear  # WRITES __iadd__  #=> rows.append(h[t] + net(rows[-1]))
    return h  #=> return torch.stack(rows)
roll(w * 2).sum().backward()  # RAISES backward
result = w.grad
""",
    "two items at once": """
y = w.exp()  # SAVES exp
y[0] = y[1] = w[2]  # WRITES __setitem__  #=> y = torch.stack([w[2], w[2], y[2], y[3]])
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "a header that nothing can stand before": """
y = w.exp()  # SAVES exp
if w is None:
    pass
elif y.clamp_(1.5).sum() > 0:  # WRITES clamp_  #=> elif (y := y.clamp(1.5)).sum() > 0:
    pass
y.square().sum().backward()  # RAISES backward
result = w.grad
""",
    "rows that are chosen by a mask": """
y = w.softmax(-1)  # SAVES softmax
mask = torch.tensor([True, False, True, False])
y[mask] = 0.0  # WRITES __setitem__  #=> y = y * (~mask[:, None])
y.square().sum().backward()  # RAISES backward
result = w.grad
""",
    "a view that is written to": """
y = w.exp()  # SAVES exp
y.view(-1)[:2].mul_(3)  # WRITES mul_  #=> y = torch.cat([y.view(-1)[:2] * 3, y.view(-1)[2:]])
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "a module": """
act = nn.Sequential(
    nn.Sigmoid(),
    nn.Dropout(0.5, inplace=True),  # BUILT Dropout  #=> nn.Dropout(0.5),
)
y = act(w)  # SAVES sigmoid  # WRITES dropout_
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "a module whose switch has no name": """
act = nn.Sequential(nn.Sigmoid(), nn.ReLU(True))  # BUILT ReLU  #=> act = nn.Sequential(nn.Sigmoid(), nn.ReLU())
y = act(w)  # SAVES sigmoid  # WRITES relu_
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "a buffer": """
class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(3))
    def forward(self, x):
        y = x * self.scale  # SAVES mul  # STATE Norm.scale  #=> y = x * self.scale.clone()
        self.update(x.detach())
        return y
    def update(self, x):
        self.scale.lerp_(x.std(0), 0.5)  # WRITES lerp_
norm = Norm()
(norm(w) + norm(w)).sum().backward()  # RAISES backward
result = torch.cat([w.grad, norm.scale[None]])
""",
    "what a helper is given": """
def show(image):
    image.mul_(255).clamp_(0, 255)  # WRITES mul_
y = w * 2
z = y.square()  # SAVES pow  #=> z = y.clone().square()
show(y.detach())  # CALLS
z.sum().backward()  # RAISES backward
result = w.grad
""",
    "what a helper resets for its caller": """
def reset(h, done):
    h[done] = 0  # WRITES __setitem__
y = w.exp()  # SAVES exp  #=> y = w.exp() * 1
reset(y, torch.tensor([True, False, False, True]))  # CALLS
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "what a loop goes through": """
ys = [w.exp(), w.tanh()]
z = ys[0] * ys[1]  # SAVES mul
for y in ys:
    y += 1  # WRITES __iadd__  #=> y = y + 1
    z = z + y
z.sum().backward()  # RAISES backward
result = w.grad
""",
    "a view of what is read later": """
y = w * 2
z = y.square()  # SAVES pow  #=> z = (y * 1).square()
row = y[1]
row += 2  # WRITES __iadd__
(y * z).sum().backward()  # RAISES backward
result = w.grad
""",
    "a variable outside of the function": """
y = w * 2
z = y.square()  # SAVES pow  #=> z = (y * 1).square()
def double():
    y.mul_(2)  # WRITES mul_
double()
(y * z).sum().backward()  # RAISES backward
result = w.grad
""",
    "a write that is not recorded": """
y = w.exp()  # SAVES exp  #=> y = w.exp() * 1
with torch.no_grad():
    y.clamp_(max=1.5)  # WRITES clamp_
y.square().sum().backward()  # RAISES backward
result = w.grad
""",
    "a leaf that is stepped by hand": """
v = torch.rand(3, requires_grad=True)
y = (w * v).sum()  # SAVES mul  #=> y = (w * (v * 1)).sum()
v.grad = torch.ones(3)
with torch.no_grad():
    v -= 0.1 * v.grad  # WRITES __isub__
y.backward()  # RAISES backward
result = torch.cat([w.grad, v[None] * v.requires_grad])
""",
    "a backward of one's own": """
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        twice = 2 * x
        ctx.save_for_backward(twice)  # SAVES save_for_backward
        return x.square()
    @staticmethod
    def backward(ctx, upstream):
        (twice,) = ctx.saved_tensors
        twice *= upstream  # WRITES __imul__  #=> twice = twice * upstream
        return twice
y = 0.5 * Square.apply(w).sum()
y.backward(retain_graph=True)
y.backward()  # RAISES backward
result = w.grad
""",
    "a step before a backward": """
g, opt = nn.Linear(3, 3), torch.optim.SGD(net.parameters(), 0.1)
fake = g(w)
a, b = net(w.detach()).mean(), net(fake)  # SAVES linear
loss = -b.mean()
a.backward(retain_graph=True)
opt.step()  # WRITES step
#+> loss = -net(fake).mean()
loss.backward()  # RAISES backward
result = w.grad
""",
    "a step in a helper": """
g, opt = nn.Linear(3, 3), torch.optim.SGD(net.parameters(), 0.1)
def update(opt, loss):
    loss.backward(retain_graph=True)
    opt.step()  # WRITES step
def train(opt, opt_g):
    fake = g(w)
    score = net(fake)  # SAVES linear
    g_loss = -score.mean()
    update(opt, score.mean())  # CALLS
    #+> g_loss = -net(fake).mean()
    update(opt_g, g_loss)  # RAISES backward
train(opt, torch.optim.SGD(g.parameters(), 0.1))
result = w.grad
""",
}
"""Those whose backward raises because a saved tensor was overwritten."""

SILENT = {
    "memory that is handed out": """
y = w.exp()  # SAVES exp
shown = torch.from_dlpack(y.detach())  # WRITES __dlpack__  #=> shown = torch.from_dlpack(y.detach().clone())
shown /= 60
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "data": """
def damp(p):
    flux = p.sin()  # SAVES sin
    p.data.mul_(0.5)  # WRITES mul_  #=> p = p * 0.5
    return p + flux
damp(w * 2).sum().backward()  # RAISES backward
result = w.grad
""",
    "data by a sign": """
p = w * 2
flux = p.sin()  # SAVES sin
p.data -= 1  # WRITES __isub__  #=> p = p - 1
(p + flux).sum().backward()  # RAISES backward
result = w.grad
""",
    "an alias by data": """
y = w.sigmoid()  # SAVES sigmoid  #=> y = w.sigmoid() * 1
alias = y.data
alias.masked_fill_(alias > 0.6, 0)  # WRITES masked_fill_
y.sum().backward()  # RAISES backward
result = w.grad
""",
    "weights that are clipped before a backward": """
x = torch.rand(2, 3, requires_grad=True)
score = net(x).mean()  # SAVES linear
for p in net.parameters():  #=> score.backward()
    p.data.clamp_(-0.01, 0.01)  # WRITES clamp_  # PARAMETER  #=> DEL
score.backward()  # RAISES backward  #=> for p in net.parameters(): p.data.clamp_(-0.01, 0.01)
result = torch.cat([x.grad, net[0].weight.detach()])
""",
    "a codebook that moves": """
class Codes(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.rand(5, 3))
    def forward(self, z):
        near = z @ self.table.t()  # SAVES matmul  #=> near = z @ (self.table * 1).t()
        self.table.data[near.argmax(1)] = z.detach()  # WRITES __setitem__  # PARAMETER
        return near
Codes()(w).exp().sum().backward()  # RAISES backward
result = w.grad
""",
    "a checkpoint that recomputes": """
from torch.utils.checkpoint import checkpoint
def block(x):
    h = torch.sigmoid(net(x))  # SAVES sigmoid
    h += x  # WRITES __iadd__  #=> h = h + x
    return net(h)
checkpoint(block, w, use_reentrant=False).square().sum().backward()  # RAISES backward
result = w.grad
""",
    "a function of one's own that writes to what it saves": """
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)  # SAVES save_for_backward
        x.mul_(x)  # WRITES mul_  #=> x = x * x
        return x
    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return 2 * x * upstream
Square.apply(w * 2).sum().backward()  # RAISES backward
result = w.grad
""",
}
"""Those whose gradients are wrong without a word."""

REFUSED = {
    "expanded": """
y = w.mean(0).expand(4, 3)  # MADE expand  #=> y = w.mean(0).expand(4, 3) * 1
y += 1  # WRITES __iadd__
y.square().sum().backward()
result = w.grad
""",
    "several": """
y = w * 2
for i, row in enumerate(y):  # MADE unbind  #=> y = (y - 0.5) / 2
    row.sub_(0.5).div_(2)  # WRITES sub_  #=> DEL
y.square().sum().backward()
result = w.grad
""",
    "several ": """
value, gate = (w.t() * 2).chunk(2, dim=1)  # MADE chunk
y = value.mul_(gate.sigmoid())  # WRITES mul_  #=> y = value * gate.sigmoid()
y.sum().backward()
result = w.grad
""",
    "several  ": """
parts = (w * 2).split(2)  # MADE split  #=> parts = list((w * 2).split(2))
parts[0].mul_(2)  # WRITES mul_  #=> parts[0] = parts[0].mul(2)
torch.cat(parts).square().sum().backward()
result = w.grad
""",
    "leaf": """
loss = (w ** 2).sum()
loss.backward()
w -= (0.1 *  # PARAMETER  # WRITES __isub__  #=> w.data -= (0.1 *
      w.grad)
result = w * w.requires_grad
""",
    "leaf ": """
y = w.detach().requires_grad_()
z = y
def adapt(z):
    z += w  # WRITES __iadd__  # GRADIENT  #=> z = z + w
    return z
adapt(y).square().sum().backward()
result = w.grad
""",
    "leaf_view": """
layer = nn.Embedding(3, 2)
row = layer.weight[0]  # MADE __getitem__
row.zero_()  # PARAMETER  # WRITES zero_  #=> row.data.zero_()
result = layer.weight
""",
    "overlap": """
y = w * 2
y[:, 1:] *= y[:, :-1]  # WRITES __imul__  #=> y = torch.cat([y[:, :1], y[:, 1:] * y[:, :-1]], 1)
y.sum().backward()
result = w.grad
""",
    "overlap ": """
keep = torch.tensor([True, False, True])
keep[keep] = torch.tensor([False, True])  # WRITES __setitem__  #=> keep = torch.tensor([False, False, True])
result = keep
""",
    "inference": """
with torch.inference_mode():
    total = net(w).square().sum()  # MADE sum
total /= 2  # WRITES __itruediv__  #=> total = total / 2
result = total
""",
    "hook": """
relu = nn.ReLU(inplace=True)  # BUILT ReLU  #=> relu = nn.ReLU()
net.register_full_backward_hook(lambda *given: None)
relu(net(w)).sum().backward()  # WRITES relu_
result = w.grad
""",
    "vmap": """
total = torch.zeros(3)
def add(x):
    return total.add_(x)  # WRITES add_  #=> return total + x
result = torch.func.vmap(add)(w)
""",
    "out": """
y = torch.empty(3)
torch.add(w[0], 1, out=y)  # WRITES add  #=> y = w[0] + 1
y.square().sum().backward()
result = w.grad
""",
    "lost": """
y = net(w)
left, right = y.chunk(2, -1)  # MADE chunk
y.add_(1)  # WRITES add_  #=> y = y + 1
(left.sum() + right.sum() + y.square().sum()).backward()
result = w.grad
""",
    "no_grad": """
y = net(w)
with torch.no_grad():
    first = y[0]  # MADE __getitem__
first.mul_(2)  # WRITES mul_  #=> first = first * 2
result = first
""",
    "slope": """
act = nn.LeakyReLU(-0.2, inplace=True)  # BUILT LeakyReLU  #=> act = nn.LeakyReLU(-0.2)
act(net(w)).sum().backward()  # WRITES leaky_relu_
result = w.grad
""",
}
"""Those whose write PyTorch refuses, by the key of the reason; spaces behind it make another of the same."""
