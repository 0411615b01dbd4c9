"""DPO's inner loop in PyTorch, as one would write it: eager, Adam, gradient norm clipped."""

import math
from collections.abc import Callable

import numpy as np
import torch

from mpo_core.data.rows import PreferenceRows
from mpo_core.policies.gaussian import GaussianPolicy
from mpo_core.settings import InnerLoopSettings

BETA = 0.1


def torch_dpo(
    policy: GaussianPolicy, rows: PreferenceRows, reference: np.ndarray, order: np.ndarray, settings: InnerLoopSettings
) -> Callable[[], list[np.ndarray]]:
    """A function that trains from the policy and returns the kernels.

    Args:
        reference: log-probs of the rows under the policy, (row, side).
        order: the rows of every update, (update, row of the minibatch).
    """
    observation, action, ref = (torch.from_numpy(np.array(leaf)) for leaf in (rows.observation, rows.action, reference))
    sizes = [layer.kernel.shape for layer in policy.layers]
    floor = policy.scale_floor

    def train() -> list[np.ndarray]:
        layers = [torch.nn.Linear(inputs, outputs) for inputs, outputs in sizes]
        with torch.no_grad():
            for layer, given in zip(layers, policy.layers, strict=True):
                layer.weight.copy_(torch.from_numpy(np.array(given.kernel).T))
                layer.bias.copy_(torch.from_numpy(np.array(given.bias)))
        raw_scale = torch.nn.Parameter(torch.from_numpy(np.array(policy.raw_scale)))
        activations = [torch.nn.ReLU() for _ in layers[:-1]]
        network = torch.nn.Sequential(
            *(part for pair in zip(layers, activations, strict=False) for part in pair), layers[-1]
        )
        parameters = [*network.parameters(), raw_scale]
        optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate)
        for index in order:
            scale = floor + torch.nn.functional.softplus(raw_scale)
            deviation = (action[index] - network(observation[index])) / scale
            log_prob = torch.log(floor / scale).sum() - 0.5 * deviation.square().sum(-1)
            ratio = log_prob.sum(-1) - ref[index]
            loss = -torch.nn.functional.logsigmoid(BETA * (ratio[:, 0] - ratio[:, 1])).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
            optimiser.step()
        assert all(math.isfinite(float(value.detach().sum())) for value in parameters)
        return [layer.weight.detach().numpy().T for layer in layers]

    return train
