"""Networks with one fault or more, each cured by edits of this file: a test applies them to a copy of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Used(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)


class EatenSkip(Used):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Any:
        h = self.fc(x)
        return self.fc(self.relu(h)) + h


class OneFlagTwoCalls(Used):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(True)

    def forward(self, x: Tensor) -> Any:
        h = self.fc(x)
        y = self.fc(self.relu(h)) + h
        return self.relu(y)


class TwoFlags(Used):
    def __init__(self) -> None:
        super().__init__()
        self.elu, self.silu = nn.ELU(inplace=True), nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Any:
        h, k = self.fc(x), self.fc(x + 1)
        return self.elu(h) + h, self.silu(k) * k


class LayersWhoseResultIsDropped(Used):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
        self.layers[0].register_forward_hook(lambda module, args, output: self.kept.append(output))
        self.kept: list[Tensor] = []

    def forward(self, x: Tensor) -> Any:
        self.kept.clear()
        h = self.fc(x)
        self.layers(h)
        return h * self.kept[0]


class LayersInARow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 4),
            nn.Sigmoid(),
            nn.ELU(inplace=True),
            nn.Linear(4, 4),
        )

    def forward(self, x: Tensor) -> Any:
        return self.layers(x)


class TogetherOnly(Used):
    """Each is safe alone: leaky_relu in place saves its result, and dropout writes over that."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(0.1, True), nn.Dropout(0.5, True))

    def forward(self, x: Tensor) -> Any:
        return self.layers(x)


class DroppedFunction(Used):
    def forward(self, x: Tensor) -> Any:
        h = self.fc(x).exp()
        F.relu(h, inplace=True)
        return h * 2


class DroppedModule(Used):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Any:
        h = self.fc(x).exp()
        self.relu(h)
        return h * 2


class Gate(Used):
    def forward(self, x: Tensor) -> Any:
        y = self.fc(x)
        z = y.mul_(y.sigmoid())
        return y + z


class Skip(Used):
    def forward(self, x: Tensor) -> Any:
        skip = h = self.fc(x)
        h += x
        return h + skip


class Given(Used):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x.mul_(2))


class Stale(Used):
    def forward(self, x: Tensor) -> Any:
        y = self.fc(x).sigmoid()
        y += x
        return y


class OwnSwitch(nn.Module):
    """As published activations do: a switch of its own, and a method in place."""

    def __init__(self) -> None:
        super().__init__()
        self.inplace = True

    def forward(self, x: Tensor) -> Any:
        return x.mul_(x.sigmoid()) if self.inplace else x * x.sigmoid()


class OfItsOwn(Used):
    def __init__(self) -> None:
        super().__init__()
        self.act = OwnSwitch()

    def forward(self, x: Tensor) -> Any:
        y = self.fc(x)
        return self.act(y) + y


class Zeroed(Used):
    def forward(self, x: Tensor) -> Any:
        y = self.fc(x)
        z = y.zero_()
        return z + y


class GivenItem(Used):
    def forward(self, x: Tensor) -> Any:
        x[0] = 0
        return self.fc(x)


class PastAutograd(Used):
    def forward(self, x: Tensor) -> Any:
        y = self.fc(x).sigmoid()
        y.data.mul_(2)
        return y


class GivenOut(Used):
    def forward(self, x: Tensor) -> Any:
        noise = torch.ones(4, 4)
        y = self.fc(x) * noise
        torch.add(noise, 1, out=noise)
        return y + noise


class Expanded(Used):
    def forward(self, x: Tensor) -> Any:
        bias = torch.zeros(4).expand(4, 4)
        bias.add_(1)
        return self.fc(x) + bias


class Parts(Used):
    def forward(self, x: Tensor) -> Any:
        a, b = self.fc(x).chunk(2, 1)
        a.mul_(2)
        return torch.cat([a, b])


class EditedLeaf(Used):
    def __init__(self) -> None:
        super().__init__()
        self.fc.weight.mul_(0.5)

    def forward(self, x: Tensor) -> Any:
        return self.fc(x)


class Buffer(Used):
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(4))

    def forward(self, x: Tensor) -> Any:
        y = self.fc(x) * self.scale
        self.scale.mul_(0.9)
        return y


class KeptInALoop(Used):
    """The last round of the loop drops the result of its ReLU, which has overwritten what is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 4),
            nn.ReLU(inplace=True),
            nn.Linear(4, 4),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Any:
        kept = []
        for layer in self.layers:
            x = layer(x)
            kept += [x] * isinstance(layer, nn.Linear)
        return kept


class StatementsInARow(Used):
    """Each means the write, and the second overwrites what the first has saved."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.drop = nn.ReLU(inplace=True), nn.Hardtanh(-0.1, 0.2, inplace=True)

    def forward(self, x: Tensor) -> Any:
        h = self.fc(x)
        self.relu(h)
        self.drop(h)
        return self.fc(h)


class SavedTwice(Used):
    """Two lines save what the forward then overwrites past autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(6, 4))

    def forward(self, x: Tensor) -> Any:
        near = (self.fc(x) @ self.codes.t()).softmax(1)
        y = near @ self.codes
        self.codes.data.mul_(0.5)
        return y


class SharedGradient(Used):
    """A sum gives both of its terms one gradient, and the hook writes over it."""

    def forward(self, x: Tensor) -> Any:
        y, z = self.fc(x), self.fc(x + 1)
        z.register_hook(lambda gradient: gradient.mul_(0.1))
        return y + z


class Guided(torch.autograd.Function):
    """Lets only gradients above zero through, and writes over the one that it is given."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient[gradient <= 0] = 0
        return gradient


class SharedGradientOfAFunction(Used):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x) + Guided.apply(self.fc(x + 1))  # type: ignore[no-untyped-call]


class SkipBesideAModule(EatenSkip):
    """A line of its own calls the module, and the next reads what that has overwritten."""

    def forward(self, x: Tensor) -> Any:
        h = self.fc(x)
        y = self.relu(h)
        return y + h
