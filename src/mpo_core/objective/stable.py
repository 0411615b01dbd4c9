"""Elementary functions that stay finite, with finite derivatives, on the whole range an objective meets."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.objective.interface import Scalar
from mpo_core.objective.pair_log_probs import MAX_LOG_PROB

MAX_EXPONENT = 30.0
"""Largest argument given to `exp`: the squares that make a gradient norm are then still finite in float32. Beyond it
the gradient is 0."""


def bounded_exp(x: Float[Array, "*any"], largest: float = MAX_EXPONENT) -> Float[Array, "*any"]:
    """e^x, constant beyond `largest`."""
    return jnp.exp(jnp.minimum(x, largest))


def log1mexp(x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """log(1 - e^x) for x < 0, branching at -log 2; the branch not taken sees a harmless argument."""
    small = x > -0.6931471805599453
    near_zero = jnp.log(-jnp.expm1(jnp.where(small, x, -0.5)))
    far = jnp.log1p(-jnp.exp(jnp.where(small, -1.0, x)))
    return jnp.where(small, near_zero, far)


def logit_of_log_prob(x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """logit(e^x); above `MAX_LOG_PROB` x counts as `MAX_LOG_PROB`, with gradient 0."""
    x = jnp.minimum(x, MAX_LOG_PROB)
    return x - log1mexp(x)


def tsallis_of_log_prob(x: Float[Array, "*any"], alpha: Scalar) -> Float[Array, "*any"]:
    """(1 - p^-alpha) / alpha at p = e^x, which is x itself for alpha = 0."""
    is_log = jnp.asarray(alpha) == 0
    alpha = jnp.where(is_log, 1.0, alpha)
    return jnp.where(is_log, x, -jnp.expm1(jnp.minimum(-alpha * x, MAX_EXPONENT)) / alpha)


def negative_log_sigmoid(u: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """-log sigmoid(u) = softplus(-u)."""
    return jax.nn.softplus(-u)


def positive_part(x: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """max(x, 0), with derivative 1/2 at the kink (that of `jax.nn.relu` is 0)."""
    return jnp.maximum(x, 0.0)


def excess(x: Float[Array, "*any"], floor: Scalar, width: Scalar) -> Float[Array, "*any"]:
    """width softplus((x - floor) / width): max(x - floor, 0) with a rounded corner."""
    return jnp.asarray(width * jax.nn.softplus((x - floor) / width))


def ramp(progress: Scalar, start: Scalar, stop: Scalar) -> Float[Array, ""]:
    """From 0 at `start` linearly to 1 at `stop`; a step at `start` where the two are equal."""
    elapsed, width = jnp.asarray(progress) - start, jnp.asarray(stop) - start
    is_step = width == 0
    share = jnp.clip(elapsed / jnp.where(is_step, 1.0, width), 0.0, 1.0)
    return jnp.where(is_step, (elapsed >= 0).astype(share.dtype), share)
