"""Both losses of a GAN are computed, the discriminator steps, then the generator's loss goes backward through it."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    g, d = nn.Linear(5, 3), nn.Sequential(nn.Linear(3, 8), nn.ReLU(inplace=True), nn.Linear(8, 1))
    opt_d = torch.optim.Adam(d.parameters())
    fake = g(torch.randn(4, 5))
    p_fake = d(fake)  # SAVES
    d_loss, g_loss = p_fake.mean(), -p_fake.mean()
    d_loss.backward(retain_graph=True)
    opt_d.step()  # WRITES
    if fixed:
        g_loss = -d(fake).mean()
    g_loss.backward()  # RAISES
