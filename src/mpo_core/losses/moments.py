"""Moving mean and deviation of a quantity of the minibatch."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.objective.interface import Scalar

LEAST_DEVIATION = 1e-6


class MovingMoments(eqx.Module):
    """Exponential moving averages of the mean and of the (unbiased) standard deviation of minibatches."""

    mean: Float[Array, ""]
    deviation: Float[Array, ""]

    def after(self, values: Float[Array, " row"], decay: Scalar) -> "MovingMoments":
        """decay * old + (1 - decay) * of this minibatch, without gradient.

        One row alone has no deviation; its distance from the old mean stands in.
        """
        values = jax.lax.stop_gradient(values)
        deviation = values.std(ddof=1) if values.shape[0] > 1 else jnp.abs(values[0] - self.mean)
        own = MovingMoments(values.mean(), deviation)
        return jax.lax.stop_gradient(jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, self, own))

    def standardised(self, values: Float[Array, " row"]) -> Float[Array, " row"]:
        """(values - mean) / deviation."""
        return (values - self.mean) / jnp.maximum(self.deviation, LEAST_DEVIATION)
