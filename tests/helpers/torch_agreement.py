"""An exported torch loss beside the JAX one."""

import jax
import jax.numpy as jnp
import numpy as np
import torch

from mpo_core.objective.pair_log_probs import PairLogProbs

ROWS = 4
LIMITS = {"float32": 1e-5, "float64": 1e-9}


def inputs(scale, seed=0):
    """Log-probs of trajectories of about `scale` tokens, their lengths, and a margin."""
    rng = np.random.default_rng(seed)
    log_probs = [-scale * rng.uniform(0.2, 3.0, ROWS) for _ in range(4)]
    return [*log_probs, *(scale * rng.uniform(0.5, 1.5, ROWS) for _ in range(2)), rng.normal(size=ROWS)]


def ours(objective, values, progress):
    """Losses of the rows and their gradients in the log-probs of chosen and rejected."""
    arrays = [jnp.asarray(value) for value in values]

    def losses(chosen, rejected):
        return objective(PairLogProbs(chosen, rejected, *arrays[2:6], margin=arrays[6]), progress)

    gradient = jax.grad(lambda *pair: losses(*pair).sum(), (0, 1))(*arrays[:2])
    return np.asarray(losses(*arrays[:2])), [np.asarray(one) for one in gradient]


def theirs(source, values, progress, dtype):
    """The same from an exported module."""
    scope: dict = {}
    exec(source, scope)
    tensors = [torch.tensor(value, dtype=getattr(torch, dtype)) for value in values]
    for one in tensors[:2]:
        one.requires_grad_()
    losses = scope["loss"](*tensors[:6], progress, tensors[6])
    if losses.requires_grad:
        losses.sum().backward()
    gradient = [np.zeros(ROWS) if one.grad is None else one.grad.numpy() for one in tensors[:2]]
    return losses.detach().numpy(), gradient


def assert_agree(objective, source, dtype, limit):
    for scale, progress in ((10.0, 0.0), (10.0, 0.7), (3000.0, 0.35)):
        values = [value.astype(dtype) for value in inputs(scale)]
        loss, gradient = ours(objective, values, progress)
        found, found_gradient = theirs(source, values, progress, dtype)
        assert found.dtype == dtype
        assert np.all(np.abs(found - loss) <= limit * (np.abs(loss) + 1))
        for one, other in zip(gradient, found_gradient, strict=True):
            assert np.all(np.abs(one - other) <= limit * (np.abs(one) + 1))
