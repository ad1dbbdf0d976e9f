"""
Small programs with one fault each, with the cured line behind the faulty one.

Behind `#=>` stands the cured line, behind `#+>` one that only the cured program has. What a program computes is its
`result`.
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
y = (w * 2).exp()
y *= w + 1  # why not  #=> y = y * (w + 1)
y.sum().backward()
result = w.grad
""",
    "one whose value binds tighter": """
y = w.exp()
y -= w * 2  #=> y = y - w * 2
y.sum().backward()
result = w.grad
""",
    "one whose value does not": """
y = w.exp()
y -= w - (1 -  #=> y = y - (w - (1 -
      w)  #=> w))
y.sum().backward()
result = w.grad
""",
    "an attribute": """
class State: pass
s = State()
s.h = w.exp()
s.h += 1  #=> s.h = s.h + 1
s.h.sum().backward()
result = w.grad
""",
    "an item of a dictionary": """
d = {"h": w.exp()}
d["h"] *= 0.5  #=> d["h"] = d["h"] * 0.5
d["h"].sum().backward()
result = w.grad
""",
    "a method as a statement": """
y = w.sigmoid()
y.mul_(2).add_(w); z = 0  #=> y = y.mul(2).add(w); z = 0
y.sum().backward()
result = w.grad
""",
    "methods on lines of their own": """
y = w.sigmoid()
z = (y  #=> z = y * 2 + w
    .mul_(2)  #=> DEL
    .add_(w))  #=> DEL
z.sum().backward()
result = w.grad
""",
    "a method with no other form": """
y = (w.t() @ w).exp()
y.fill_diagonal_(0)  #=> y = y * (1 - torch.eye(3))
y.sum().backward()
result = w.grad
""",
    "a method whose value is used, and its tensor too": """
y = w.exp()
z = y.sub_(1)  #=> z = y = y - 1
(y.sum() + z.square().sum()).backward()
result = w.grad
""",
    "a method beside its tensor": """
y = w.exp()
z = torch.cat([y.sin(), y.mul_(w)])  #=> z = torch.cat([y.sin(), y * w])
(z.sum() + y.sum()).backward()  #=> (z.sum() + (y * w).sum()).backward()
result = w.grad
""",
    "a function as a statement": """
y = w.tanh()
F.relu(y, inplace=True)  #=> y = F.relu(y)
y.square().sum().backward()
result = w.grad
""",
    "a function with inplace in its place": """
y = w.tanh()
y = F.elu(y, 1.0, True)  #=> y = F.elu(y)
y.square().sum().backward()
result = w.grad
""",
    "a function with an underscore": """
y = w.tanh()
z = torch.relu_(y)  #=> z = torch.relu(y)
z.square().sum().backward()
result = w.grad
""",
    "out": """
scale = torch.ones(3)
y = w * scale
torch.mul(scale, 0.5, out=scale)  #=> scale = torch.mul(scale, 0.5)
(y * scale).sum().backward()
result = w.grad
""",
    "an item": """
y = w.exp()
if True: y[0] = 0  #=> y = y * torch.tensor([[0.], [1.], [1.], [1.]])
y.sum().backward()
result = w.grad
""",
    "items that are made of others": """
def roll(h):
    #+> rows = [h[0]]
    for t in range(1, len(h)):
        h[t] += net(h[t - 1])  #=> rows.append(h[t] + net(rows[-1]))
    return h  #=> return torch.stack(rows)
roll(w * 2).sum().backward()
result = w.grad
""",
    "two items at once": """
y = w.exp()
y[0] = y[1] = w[2]  #=> y = torch.stack([w[2], w[2], y[2], y[3]])
y.sum().backward()
result = w.grad
""",
    "a header that nothing can stand before": """
y = w.exp()
if w is None:
    pass
elif y.clamp_(1.5).sum() > 0:  #=> elif (y := y.clamp(1.5)).sum() > 0:
    pass
y.square().sum().backward()
result = w.grad
""",
    "rows that are chosen by a mask": """
y = w.softmax(-1)
mask = torch.tensor([True, False, True, False])
y[mask] = 0.0  #=> y = y * (~mask[:, None])
y.square().sum().backward()
result = w.grad
""",
    "a view that is written to": """
y = w.exp()
y.view(-1)[:2].mul_(3)  #=> y = torch.cat([y.view(-1)[:2] * 3, y.view(-1)[2:]])
y.sum().backward()
result = w.grad
""",
    "a module": """
act = nn.Sequential(
    nn.Sigmoid(),
    nn.Dropout(0.5, inplace=True),  #=> nn.Dropout(0.5),
)
y = act(w)
y.sum().backward()
result = w.grad
""",
    "a module whose switch has no name": """
act = nn.Sequential(nn.Sigmoid(), nn.ReLU(True))  #=> act = nn.Sequential(nn.Sigmoid(), nn.ReLU())
y = act(w)
y.sum().backward()
result = w.grad
""",
    "a buffer": """
class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(3))
    def forward(self, x):
        y = x * self.scale  #=> y = x * self.scale.clone()
        self.update(x.detach())
        return y
    def update(self, x):
        self.scale.lerp_(x.std(0), 0.5)
norm = Norm()
(norm(w) + norm(w)).sum().backward()
result = torch.cat([w.grad, norm.scale[None]])
""",
    "what a helper is given": """
def show(image):
    image.mul_(255).clamp_(0, 255)
y = w * 2
z = y.square()  #=> z = y.clone().square()
show(y.detach())
z.sum().backward()
result = w.grad
""",
    "what a helper resets for its caller": """
def reset(h, done):
    h[done] = 0
y = w.exp()  #=> y = w.exp() * 1
reset(y, torch.tensor([True, False, False, True]))
y.sum().backward()
result = w.grad
""",
    "what a loop goes through": """
ys = [w.exp(), w.tanh()]
z = ys[0] * ys[1]
for y in ys:
    y += 1  #=> y = y + 1
    z = z + y
z.sum().backward()
result = w.grad
""",
    "a view of what is read later": """
y = w * 2
z = y.square()  #=> z = (y * 1).square()
row = y[1]
row += 2
(y * z).sum().backward()
result = w.grad
""",
    "a variable outside of the function": """
y = w * 2
z = y.square()  #=> z = (y * 1).square()
def double():
    y.mul_(2)
double()
(y * z).sum().backward()
result = w.grad
""",
    "a write that is not recorded": """
y = w.exp()  #=> y = w.exp() * 1
with torch.no_grad():
    y.clamp_(max=1.5)
y.square().sum().backward()
result = w.grad
""",
    "a leaf that is stepped by hand": """
v = torch.rand(3, requires_grad=True)
y = (w * v).sum()  #=> y = (w * (v * 1)).sum()
v.grad = torch.ones(3)
with torch.no_grad():
    v -= 0.1 * v.grad
y.backward()
result = torch.cat([w.grad, v[None] * v.requires_grad])
""",
    "a backward of one's own": """
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        twice = 2 * x
        ctx.save_for_backward(twice)
        return x.square()
    @staticmethod
    def backward(ctx, upstream):
        (twice,) = ctx.saved_tensors
        twice *= upstream  #=> twice = twice * upstream
        return twice
y = 0.5 * Square.apply(w).sum()
y.backward(retain_graph=True)
y.backward()
result = w.grad
""",
    "a step before a backward": """
g, opt = nn.Linear(3, 3), torch.optim.SGD(net.parameters(), 0.1)
fake = g(w)
a, b = net(w.detach()).mean(), net(fake)
loss = -b.mean()
a.backward(retain_graph=True)
opt.step()
#+> loss = -net(fake).mean()
loss.backward()
result = w.grad
""",
    "a step in a helper": """
g, opt = nn.Linear(3, 3), torch.optim.SGD(net.parameters(), 0.1)
def update(opt, loss):
    loss.backward(retain_graph=True)
    opt.step()
def train(opt, opt_g):
    fake = g(w)
    score = net(fake)
    g_loss = -score.mean()
    update(opt, score.mean())
    #+> g_loss = -net(fake).mean()
    update(opt_g, g_loss)
train(opt, torch.optim.SGD(g.parameters(), 0.1))
result = w.grad
""",
    "a part that is made of its neighbours": """
y = w * 2
y[:, 1:] *= y[:, :-1]  #=> y = torch.cat([y[:, :1], y[:, 1:] * y[:, :-1]], 1)
y.sum().backward()
result = w.grad
""",
}
"""Those whose backward raises because a saved tensor was overwritten."""

SILENT = {
    "memory that is handed out": """
y = w.exp()
shown = torch.from_dlpack(y.detach())  #=> shown = torch.from_dlpack(y.detach().clone())
shown /= 60
y.sum().backward()
result = w.grad
""",
    "data": """
def damp(p):
    flux = p.sin()
    p.data.mul_(0.5)  #=> p = p * 0.5
    return p + flux
damp(w * 2).sum().backward()
result = w.grad
""",
    "data by a sign": """
p = w * 2
flux = p.sin()
p.data -= 1  #=> p = p - 1
(p + flux).sum().backward()
result = w.grad
""",
    "an alias by data": """
y = w.sigmoid()  #=> y = w.sigmoid() * 1
alias = y.data
alias.masked_fill_(alias > 0.6, 0)
y.sum().backward()
result = w.grad
""",
    "weights that are clipped before a backward": """
x = torch.rand(2, 3, requires_grad=True)
score = net(x).mean()
for p in net.parameters():  #=> score.backward()
    p.data.clamp_(-0.01, 0.01)  #=> DEL
score.backward()  #=> for p in net.parameters(): p.data.clamp_(-0.01, 0.01)
result = torch.cat([x.grad, net[0].weight.detach()])
""",
    "a codebook that moves": """
class Codes(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.rand(5, 3))
    def forward(self, z):
        near = z @ self.table.t()  #=> near = z @ (self.table * 1).t()
        self.table.data[near.argmax(1)] = z.detach()
        return near
Codes()(w).exp().sum().backward()
result = w.grad
""",
    "a checkpoint that recomputes": """
from torch.utils.checkpoint import checkpoint
def block(x):
    h = torch.sigmoid(net(x))
    h += x  #=> h = h + x
    return net(h)
checkpoint(block, w, use_reentrant=False).square().sum().backward()
result = w.grad
""",
}
"""Those whose gradients are wrong without a word."""

REFUSED = {
    "expanded": """
y = w.mean(0).expand(4, 3)  #=> y = w.mean(0).expand(4, 3) * 1
y += 1
y.square().sum().backward()
result = w.grad
""",
    "rows of a loop": """
y = w * 2
for i, row in enumerate(y):  #=> y = (y - 0.5) / 2
    row.sub_(0.5).div_(2)  #=> DEL
y.square().sum().backward()
result = w.grad
""",
    "what chunk gives": """
value, gate = (w.t() * 2).chunk(2, dim=1)
y = value.mul_(gate.sigmoid())  #=> y = value * gate.sigmoid()
y.sum().backward()
result = w.grad
""",
    "a leaf that is edited": """
loss = (w ** 2).sum()
loss.backward()
w -= (0.1 *  #=> w.data -= (0.1 *
      w.grad)
result = w * w.requires_grad
""",
    "a leaf that a gradient is to reach": """
y = w.detach().requires_grad_()
z = y
def adapt(z):
    z += w  #=> z = z + w
    return z
adapt(y).square().sum().backward()
result = w.grad
""",
    "a row of a weight": """
layer = nn.Embedding(3, 2)
row = layer.weight[0]
row.zero_()  #=> row.data.zero_()
result = layer.weight
""",
    "a mask that is its own index": """
keep = torch.tensor([True, False, True])
keep[keep] = torch.tensor([False, True])  #=> keep = torch.tensor([False, False, True])
result = keep
""",
    "what inference mode has made": """
with torch.inference_mode():
    total = net(w).square().sum()
total /= 2  #=> total = total / 2
result = total
""",
    "a layer behind a full hook": """
net.register_full_backward_hook(lambda *given: None)
both = nn.ModuleList([net, nn.ReLU(inplace=True)])  #=> both = nn.ModuleList([net, nn.ReLU()])
both[1](both[0](w)).sum().backward()
result = w.grad
""",
    "a total in vmap": """
total = torch.zeros(3)
def add(x):
    return total.add_(x)  #=> return total + x
result = torch.func.vmap(add)(w)
""",
    "out": """
y = torch.empty(3)
torch.add(w[0], 1, out=y)  #=> y = w[0] + 1
y.square().sum().backward()
result = w.grad
""",
    "a sum whose halves are kept": """
y = net(w)
left, right = y.chunk(2, -1)
y.add_(1)  #=> y = y + 1
(left.sum() + right.sum() + y.square().sum()).backward()
result = w.grad
""",
    "a view that was made without grad": """
y = net(w)
with torch.no_grad():
    first = y[0]
first.mul_(2)  #=> first = first * 2
result = first
""",
}
"""Those whose write PyTorch refuses."""
