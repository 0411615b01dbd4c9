"""Weights of groups of rows that move towards the group with the largest loss."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mpo_core.objective.interface import Scalar

GROUPS = 3
"""Kinds of a pair: none, one or both of the trajectories from the target agent (whoever made the rest)."""


class GroupWeights(eqx.Module):
    """Unnormalised weights, and which groups have shown up so far: only those share the total."""

    log_weight: Float[Array, " group"]
    seen: Bool[Array, " group"]

    @staticmethod
    def equal() -> "GroupWeights":
        """All groups alike, none seen."""
        return GroupWeights(jnp.zeros(GROUPS), jnp.zeros(GROUPS, bool))

    def after(self, loss: Float[Array, " row"], group: Int[Array, " row"], step_size: Scalar) -> "GroupWeights":
        """Every group's weight times exp(step_size * mean loss of its rows), 0 where it has none; without gradient."""
        count = jnp.maximum(_by_group(jnp.ones_like(loss), group), 1)
        moved = self.log_weight + step_size * _by_group(loss, group) / count
        log_weight = jax.lax.stop_gradient(moved - moved.max())
        return GroupWeights(log_weight.astype(self.log_weight.dtype), self._seen_with(group))

    def row_weights(self, group: Int[Array, " row"]) -> Float[Array, " row"]:
        """q_g / share of the rows that are of g, without gradient; q is normalised over the groups seen, these too."""
        log_weight = jnp.where(self._seen_with(group), self.log_weight, -jnp.inf)
        share = jax.nn.one_hot(group, GROUPS).mean(0)
        return jax.lax.stop_gradient(jax.nn.softmax(log_weight)[group] / share[group])

    def _seen_with(self, group: Int[Array, " row"]) -> Bool[Array, " group"]:
        return self.seen | jax.nn.one_hot(group, GROUPS, dtype=bool).any(0)


def _by_group(values: Float[Array, " row"], group: Int[Array, " row"]) -> Float[Array, " group"]:
    return jnp.zeros(GROUPS, values.dtype).at[group].add(values)
