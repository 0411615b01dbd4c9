"""Who won a pair: a Bradley-Terry judge on true returns, with label noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from mpo_core.objective.interface import Scalar


class Verdict(eqx.Module):
    """The label of each row."""

    second_wins: Bool[Array, " row"]
    """True where the label, noise included, prefers the second trajectory."""
    flipped: Bool[Array, " row"]
    """True where noise turned what the judge said."""


def judge(return_: Float[Array, "row side"], *, temperature: Scalar, noise: Scalar, key: PRNGKeyArray) -> Verdict:
    """Labels pairs: P(second wins) = sigmoid((R_2 - R_1) / temperature), then flips a label with probability `noise`.

    Args:
        return_: true undiscounted return of both trajectories.
        temperature: in units of return; 0 always picks the better one (a tie is drawn by lot).
        noise: probability that a label is flipped.
    """
    judge_key, noise_key = jax.random.split(key)
    difference = return_[:, 1] - return_[:, 0]
    uniform = jax.random.uniform(judge_key, difference.shape, minval=1e-7, maxval=1.0 - 1e-7)
    threshold = jnp.log(uniform) - jnp.log1p(
        -uniform
    )  # a logistic draw: sigmoid(d / T) > uniform, without dividing by T
    said_second = jnp.where(difference == 0, uniform > 0.5, difference > temperature * threshold)
    flipped = jax.random.uniform(noise_key, difference.shape) < noise
    return Verdict(said_second ^ flipped, flipped)
