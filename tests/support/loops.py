"""Training loops without a fault, of the kinds that are published: small, each in a few steps, written as people do.

A loop returns what it has learned, to be compared bit for bit.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn, optim

F = nn.functional
LOOPS: list[Callable[[], Tensor]] = []


def loop(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
    LOOPS.append(function)
    return function


def state(*modules: nn.Module) -> Tensor:
    """All that the modules hold, in one row."""
    tensors = [t.detach().double().flatten() for m in modules for t in m.state_dict().values()]
    return torch.cat(tensors)


def mlp(*sizes: int) -> nn.Sequential:
    layers = [m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU(inplace=True))]
    return nn.Sequential(*layers[:-1])


@loop
def convolutional_classifier() -> Tensor:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.2, inplace=True),
        nn.Flatten(), nn.Linear(36, 10),
    )  # fmt: skip
    optimizer = optim.SGD(net.parameters(), 0.1, momentum=0.9, nesterov=True)
    for _ in range(3):
        images, labels = torch.randn(5, 1, 8, 8), torch.randint(0, 10, (5,))
        images.sub_(0.13).div_(0.3)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
    return state(net)


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


@loop
def residual_network_with_schedule() -> Tensor:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), Residual(4), Residual(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    optimizer = optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    for _ in range(3):
        optimizer.zero_grad(set_to_none=False)
        F.cross_entropy(net(torch.randn(2, 3, 8, 8)), torch.tensor([0, 3])).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return state(net)


@loop
def variational_autoencoder() -> Tensor:
    encoder, decoder = mlp(6, 8, 4), mlp(2, 8, 6)
    optimizer = optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-2)
    total = 0.0
    for _ in range(3):
        x = torch.rand(4, 6)
        mean, log_variance = encoder(x).chunk(2, dim=1)
        std = torch.exp(0.5 * log_variance)
        z = torch.randn_like(std).mul(std).add_(mean)
        divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        loss = F.mse_loss(decoder(z), x, reduction="sum") + divergence
        optimizer.zero_grad()
        loss.backward()
        total += loss.item()
        optimizer.step()
    return state(encoder, decoder)


@loop
def critic_with_clipped_weights() -> Tensor:
    g, critic = mlp(2, 6, 3), mlp(3, 6, 1)
    opt_g, opt_c = optim.RMSprop(g.parameters(), 5e-4), optim.RMSprop(critic.parameters(), 5e-4)
    for _ in range(2):
        for _ in range(2):
            opt_c.zero_grad()
            loss = -critic(torch.randn(4, 3)).mean() + critic(g(torch.randn(4, 2)).detach()).mean()
            loss.backward()
            opt_c.step()
            for p in critic.parameters():
                p.data.clamp_(-0.01, 0.01)
        opt_g.zero_grad()
        (-critic(g(torch.randn(4, 2))).mean()).backward()
        opt_g.step()
    return state(g, critic)


@loop
def gradient_penalty() -> Tensor:
    critic = nn.Sequential(nn.Linear(3, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1))
    optimizer = optim.Adam(critic.parameters())
    for _ in range(2):
        real, fake = torch.randn(4, 3), torch.randn(4, 3)
        mixed = (real + torch.rand(4, 1) * (fake - real)).requires_grad_(True)
        (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
        loss = critic(fake).mean() - critic(real).mean() + 10 * ((slope.norm(2, dim=1) - 1) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return state(critic)


@loop
def deep_q_learning() -> Tensor:
    online = mlp(3, 8, 2)
    target = copy.deepcopy(online)
    optimizer = optim.AdamW(online.parameters(), 1e-3, amsgrad=True)
    for _ in range(3):
        states, actions, rewards = torch.randn(5, 3), torch.randint(0, 2, (5, 1)), torch.randn(5)
        values = online(states).gather(1, actions)
        following = torch.zeros(5)
        with torch.no_grad():
            following[1:] = target(torch.randn(4, 3)).max(1).values
        loss = F.smooth_l1_loss(values, ((following * 0.99) + rewards).unsqueeze(1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(online.parameters(), 100)
        optimizer.step()
        weights = target.state_dict()
        for key, value in online.state_dict().items():
            weights[key] = value * 0.005 + weights[key] * 0.995
        target.load_state_dict(weights)
    return state(online, target)


@loop
def language_model_with_carried_state() -> Tensor:
    embed, lstm, head = nn.Embedding(10, 4), nn.LSTM(4, 6, 2, dropout=0.1), nn.Linear(6, 10)
    parameters = [*embed.parameters(), *lstm.parameters(), *head.parameters()]
    hidden = (torch.zeros(2, 3, 6), torch.zeros(2, 3, 6))
    for _ in range(3):
        data = torch.randint(0, 10, (5, 3))
        hidden = tuple(h.detach() for h in hidden)  # type: ignore[assignment]
        output, hidden = lstm(embed(data[:-1]), hidden)
        for p in parameters:
            p.grad = None
        F.nll_loss(F.log_softmax(head(output).view(-1, 10), 1), data[1:].reshape(-1)).backward()
        nn.utils.clip_grad_norm_(parameters, 0.25)
        for p in parameters:
            p.data.add_(p.grad, alpha=-0.5)
    return state(embed, lstm, head)


@loop
def causal_transformer() -> Tensor:
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True)
    net, head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 5)
    position = torch.zeros(6, 8)
    place = torch.arange(6).unsqueeze(1)
    scale = torch.exp(torch.arange(0, 8, 2) * (-math.log(10000.0) / 8))
    position[:, 0::2] = torch.sin(place * scale)
    position[:, 1::2] = torch.cos(place * scale)
    optimizer = optim.Adam([*net.parameters(), *head.parameters()], 1e-3, (0.9, 0.98), 1e-9)
    mask = torch.full((6, 6), float("-inf")).triu_(1)
    for _ in range(2):
        loss = F.cross_entropy(head(net(torch.randn(2, 6, 8) + position, mask)).flatten(0, 1), torch.arange(12) % 5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return state(net, head)


@loop
def momentum_contrast_with_queue() -> Tensor:
    online = mlp(4, 8, 3)
    slow = copy.deepcopy(online)
    for p in slow.parameters():
        p.requires_grad_(False)
    queue, at = F.normalize(torch.randn(3, 8), dim=0), 0
    optimizer = optim.SGD(online.parameters(), 0.03, momentum=0.9)
    for _ in range(3):
        x = torch.randn(4, 4)
        q = F.normalize(online(x), dim=1)
        with torch.no_grad():
            for a, b in zip(online.parameters(), slow.parameters(), strict=True):
                b.data = b.data * 0.999 + a.data * 0.001
            k = F.normalize(slow(x), dim=1)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.clone().detach()], 1) / 0.07
        optimizer.zero_grad()
        F.cross_entropy(logits, torch.zeros(4, dtype=torch.long)).backward()
        optimizer.step()
        queue[:, at : at + 4] = k.T
        at = (at + 4) % 8
    return torch.cat([state(online, slow), queue.flatten().double()])


@loop
def exponential_moving_average() -> Tensor:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    shadow = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = optim.Adam(net.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(4, 3)).abs().mean().backward()
        optimizer.step()
        for name, p in net.named_parameters():
            shadow[name].mul_(0.9).add_(p.detach(), alpha=0.1)
    return torch.cat([state(net), *(s.flatten().double() for s in shadow.values())])


@loop
def style_transfer_of_an_image() -> Tensor:
    features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=False), nn.Conv2d(4, 4, 3)).eval()
    for p in features.parameters():
        p.requires_grad_(False)
    content, style = features(torch.rand(1, 3, 8, 8)), features(torch.rand(1, 3, 8, 8))

    def gram(x: Tensor) -> Tensor:
        flat = x.view(x.size(1), -1)
        return (flat @ flat.t()).div(flat.numel())

    image = torch.rand(1, 3, 8, 8).requires_grad_()
    optimizer = optim.LBFGS([image], max_iter=3)
    for _ in range(2):

        def closure() -> Tensor:
            with torch.no_grad():
                image.clamp_(0, 1)
            optimizer.zero_grad()
            seen = features(image)
            loss = F.mse_loss(seen, content) + 100 * F.mse_loss(gram(seen), gram(style))
            loss.backward()
            return loss

        optimizer.step(closure)
    with torch.no_grad():
        image.clamp_(0, 1)
    return image.detach()


@loop
def learning_to_learn() -> Tensor:
    w, b = torch.full((3, 1), 0.1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = optim.Adam([w, b], 1e-2)
    for _ in range(2):
        outer = torch.zeros(())
        for _ in range(2):
            x, y = torch.randn(5, 3), torch.randn(5, 1)
            inner = F.mse_loss(x @ w + b, y)
            gw, gb = torch.autograd.grad(inner, (w, b), create_graph=True)
            outer = outer + F.mse_loss(x @ (w - 0.1 * gw) + (b - 0.1 * gb), y)
        optimizer.zero_grad()
        outer.backward()
        optimizer.step()
    return torch.cat([w.detach().flatten(), b.detach()])


@loop
def spectral_norm_and_weight_norm() -> Tensor:
    net = nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(4, 5)), nn.ReLU(), nn.utils.spectral_norm(nn.Linear(5, 2))
    )
    optimizer = optim.SGD(net.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(3, 4)).square().sum().backward()
        optimizer.step()
    return state(net)


@loop
def embeddings_with_sparse_gradients() -> Tensor:
    words = nn.Embedding(12, 4, sparse=True)
    optimizer = optim.SparseAdam(list(words.parameters()))
    for _ in range(3):
        centre, context = words(torch.randint(0, 12, (6,))), words(torch.randint(0, 12, (6,)))
        optimizer.zero_grad()
        (-F.logsigmoid((centre * context).sum(1)).mean()).backward()
        optimizer.step()
    return state(words)


@loop
def mixture_of_experts() -> Tensor:
    gate, experts = nn.Linear(4, 3), nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    optimizer = optim.Adam([*gate.parameters(), *experts.parameters()])
    for _ in range(2):
        x = torch.randn(6, 4)
        weight, chosen = gate(x).softmax(-1).max(-1)
        out = torch.zeros_like(x)
        for i, expert in enumerate(experts):
            (rows,) = torch.where(chosen == i)
            out.index_add_(0, rows, expert(x[rows]) * weight[rows].unsqueeze(1))
        optimizer.zero_grad()
        out.square().mean().backward()
        optimizer.step()
    return state(gate, experts)


@loop
def diffusion() -> Tensor:
    net = nn.Sequential(nn.Linear(3, 8), nn.SiLU(inplace=True), nn.Linear(8, 2))
    alpha = (1 - torch.linspace(1e-4, 0.02, 10)).cumprod(0)
    optimizer = optim.AdamW(net.parameters())
    for _ in range(2):
        x, noise, t = torch.randn(4, 2), torch.randn(4, 2), torch.randint(0, 10, (4,))
        a = alpha[t].unsqueeze(1)
        noisy = a.sqrt() * x + (1 - a).sqrt() * noise
        optimizer.zero_grad()
        F.mse_loss(net(torch.cat([noisy, t.unsqueeze(1) / 10], 1)), noise).backward()
        optimizer.step()
    sample = torch.randn(4, 2)
    with torch.no_grad():
        for step in reversed(range(3)):
            time = torch.full((4, 1), step / 10)
            sample.sub_(0.1 * net(torch.cat([sample, time], 1)))
    return torch.cat([state(net), sample.flatten().double()])


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN205
        ctx.save_for_backward(x)
        return x.round()

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN205
        (x,) = ctx.saved_tensors
        result = gradient.clone()
        result[x.abs() > 1] = 0
        return result


@loop
def straight_through_estimator() -> Tensor:
    lin = nn.Linear(3, 3)
    optimizer = optim.SGD(lin.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        Rounded.apply(lin(torch.randn(4, 3))).square().sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return state(lin)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(4))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.seen: Tensor
        self.steps: Tensor

    def forward(self, x: Tensor) -> Tensor:
        y = self.lin(x)
        if self.training:
            self.steps += 1
            with torch.no_grad():
                self.seen.mul_(0.9).add_(y.mean(0), alpha=0.1)
        return y - self.seen.clone()


@loop
def running_statistics_in_a_buffer() -> Tensor:
    net = Recurrent()
    optimizer = optim.SGD(net.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(5, 4)).square().mean().backward()
        optimizer.step()
    return state(net)


@loop
def detection_boxes() -> Tensor:
    lin = nn.Linear(4, 8)
    optimizer = optim.SGD(lin.parameters(), 0.01)
    for _ in range(2):
        raw = lin(torch.randn(3, 4)).view(3, 2, 4)
        boxes = torch.empty_like(raw)
        boxes[..., :2] = raw[..., :2].sigmoid() * 2 - 0.5
        boxes[..., 2:] = (raw[..., 2:].sigmoid() * 2) ** 2
        target = torch.zeros_like(raw[..., 0])
        target[0, 1] = 1.0
        loss = F.l1_loss(boxes, torch.ones(3, 2, 4)) + F.binary_cross_entropy_with_logits(raw[..., 0], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        boxes = boxes.detach()
        boxes[..., 0] -= boxes[..., 2] / 2
    return torch.cat([state(lin), boxes.flatten().double()])


@loop
def activations_rounded_through_data() -> Tensor:
    first, last = nn.Linear(4, 6), nn.Linear(6, 2)
    optimizer = optim.SGD([*first.parameters(), *last.parameters()], 0.1)
    for _ in range(2):
        h = torch.relu(first(torch.randn(5, 4)))
        h.data.mul_(15).round_().div_(15)  # relu needs to know where its result is above zero, and that stays
        optimizer.zero_grad()
        last(h).square().mean().backward()
        optimizer.step()
    return state(first, last)


@loop
def padding_cleared_through_data() -> Tensor:
    layer = nn.Linear(4, 3)
    optimizer = optim.SGD(layer.parameters(), 0.1)
    padded = torch.tensor([False, False, False, True, True])
    for _ in range(2):
        h = layer(torch.randn(5, 4))
        error = h * h - 1
        h.data[padded] = 0.0  # no gradient comes from there
        optimizer.zero_grad()
        error[~padded].sum().backward()
        optimizer.step()
    return state(layer)


@loop
def adversarial_networks_with_statistics() -> Tensor:
    maker = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Linear(6, 4))
    critic = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.LeakyReLU(0.2, inplace=True), nn.Linear(6, 1))
    making, judging = optim.Adam(maker.parameters()), optim.Adam(critic.parameters())
    for _ in range(2):
        fake = maker(torch.randn(5, 3))
        judging.zero_grad()
        loss = F.softplus(-critic(torch.randn(5, 4))).mean() + F.softplus(critic(fake.detach())).mean()
        loss.backward()
        judging.step()
        making.zero_grad()
        F.softplus(-critic(fake)).mean().backward()
        making.step()
    return state(maker, critic)
