"""Rows as updates read them: observations normalised once, steps as columns; and their log-probs."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mpo_core.data.rows import TARGET, PreferenceRows
from mpo_core.policies.gaussian import GaussianPolicy, column_log_probs


class PreparedRows(eqx.Module):
    """What an update reads of the rows, observations normalised already. A step is one of either side."""

    observation: Float[Array, "observation row step"]
    action: Float[Array, "action row step"]
    alive: Float[Array, "row side time"]
    tokens: Float[Array, "row side"]
    margin: Float[Array, " row"]
    group: Int[Array, " row"] | None
    """None where the objective does not see groups."""


def row_log_probs(policy: GaussianPolicy, rows: PreferenceRows) -> Float[Array, "row side"]:
    """Sum of token log-probs of every trajectory, a row at a time to keep memory low."""
    return prepared_row_log_probs(without_normaliser(policy), prepared_rows(policy, rows, groups=False))


def prepared_rows(policy: GaussianPolicy, rows: PreferenceRows, *, groups: bool) -> PreparedRows:
    observation = jnp.asarray((rows.observation - policy.observation_mean) / policy.observation_std)
    action, alive, margin = (jnp.asarray(leaf) for leaf in (rows.action, rows.alive, rows.margin))
    group = (jnp.asarray(rows.source) == TARGET).sum(1) if groups else None
    columns = [leaf.reshape(len(leaf), -1, leaf.shape[-1]).transpose(2, 0, 1) for leaf in (observation, action)]
    return PreparedRows(columns[0], columns[1], alive, jnp.maximum(rows.tokens, 1.0), margin, group)


def prepared_row_log_probs(bare: GaussianPolicy, rows: PreparedRows) -> Float[Array, "row side"]:
    def one(row: Array) -> Array:
        return pair_log_probs(bare, rows, row[None])[0]

    return jax.lax.stop_gradient(jax.lax.map(one, jnp.arange(len(rows.alive))))


def pair_log_probs(bare: GaussianPolicy, rows: PreparedRows, index: Int[Array, " row"]) -> Float[Array, "row side"]:
    """Sum of token log-probs of the trajectories of some rows."""
    observation, action = (leaf[:, index].reshape(len(leaf), -1) for leaf in (rows.observation, rows.action))
    alive = rows.alive[index]
    return (column_log_probs(bare, observation, action).reshape(alive.shape) * alive).sum(-1)


def without_normaliser(policy: GaussianPolicy) -> GaussianPolicy:
    """The policy for observations that are normalised already."""
    size = policy.observation_mean.shape
    return eqx.tree_at(lambda p: (p.observation_mean, p.observation_std), policy, (jnp.zeros(size), jnp.ones(size)))
