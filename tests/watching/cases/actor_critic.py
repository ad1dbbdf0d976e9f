"""The critic's step comes between the actor's loss and its backward; both read one trunk."""

import torch
from torch import nn


def scenario(fixed: bool = False) -> None:
    torch.manual_seed(0)
    trunk, actor, critic = nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(8, 1)
    opt_critic = torch.optim.RMSprop([*trunk.parameters(), *critic.parameters()])
    x = torch.randn(3, 4)
    features = torch.tanh(trunk(x))
    value, policy = critic(features), actor(features).softmax(-1)
    advantage = 1 - value
    actor_loss = -(policy.log() * critic(features)).mean()  # SAVES
    critic_loss = advantage.square().mean()
    opt_critic.zero_grad()
    critic_loss.backward(retain_graph=True)
    if fixed:
        actor_loss.backward()
    opt_critic.step()  # WRITES
    if not fixed:
        actor_loss.backward()  # RAISES
