"""The matrix products and activations of an update, forward and backward, and nothing else: no scan, no data, no
optimiser. What an inner loop could reach on its shapes."""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.policies.gaussian import ACTIVATIONS


def micro_update(
    sizes: tuple[int, ...], steps: int, activation: str = "relu"
) -> tuple[Callable[..., tuple[Array, ...]], tuple[Array, ...], Float[Array, "step input"]]:
    """A function from kernels and inputs to the kernels' gradients, and arguments for it.

    Args:
        sizes: of the layers, inputs first.
        steps: rows of the products: 2 sides x rows of a minibatch x steps of a trajectory.
    """
    act = ACTIVATIONS[activation]
    keys = jax.random.split(jax.random.key(0), len(sizes))
    kernels = tuple(
        jax.random.normal(key, (a, b)) / jnp.sqrt(a) for key, a, b in zip(keys, sizes[:-1], sizes[1:], strict=False)
    )

    def loss(kernels: tuple[Array, ...], x: Array) -> Array:
        for kernel in kernels[:-1]:
            x = act(x @ kernel)
        return jnp.square(x @ kernels[-1]).sum()

    return jax.jit(jax.grad(loss)), kernels, jax.random.normal(keys[-1], (steps, sizes[0]))


def micro_flops(sizes: tuple[int, ...], steps: int) -> float:
    """Of its products: 6 a weight and step, none for the gradient of the inputs."""
    weights = sum(a * b for a, b in itertools.pairwise(sizes))
    return float(steps * (6 * weights - 2 * sizes[0] * sizes[1]))
