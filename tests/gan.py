"""A step of a GAN that computes both losses, lets the discriminator step, and then goes backward through the other."""

import torch
from torch import nn


class D(nn.Sequential):
    """The discriminator: how real is what it sees."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 8), nn.ReLU(inplace=True), nn.Linear(8, 1))


torch.manual_seed(0)
generator, discriminator = nn.Linear(5, 3), D()
optimizer = torch.optim.Adam(discriminator.parameters())

fake = generator(torch.randn(4, 5))
score = discriminator(fake)
d_loss, g_loss = score.mean(), -score.mean()
d_loss.backward(retain_graph=True)
optimizer.step()
g_loss.backward()
