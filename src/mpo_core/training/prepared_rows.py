"""Rows as updates read them: observations normalised once, steps as columns; and their log-probs.

They are held once, all units together: an update gathers its minibatch by unit and row, and nothing of a unit is copied
for the jobs that train on it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mpo_core.data.rows import PreferenceRows
from mpo_core.memory import rows_at_once
from mpo_core.policies.gaussian import GaussianPolicy, column_log_probs
from mpo_core.settings import Products
from mpo_core.training.fused_log_probs import fused_log_probs, is_fused
from mpo_core.training.learner import RowFacts, UnitIndex, row_facts


class PreparedRows(eqx.Module):
    """What updates read of the rows of some units, observations normalised already. A step is one of either side."""

    observation: Float[Array, "*unit observation row step"]
    action: Float[Array, "*unit action row step"]
    alive: Float[Array, "*unit row side time"]
    facts: RowFacts


def prepared_rows(policy: GaussianPolicy, rows: PreferenceRows) -> PreparedRows:
    """Rows with a leading unit axis as updates of a Gaussian policy read them."""
    return jax.vmap(lambda own: _prepared(policy, own))(jax.tree.map(jnp.asarray, rows))


def _prepared(policy: GaussianPolicy, rows: PreferenceRows) -> PreparedRows:
    observation = jnp.asarray((rows.observation - policy.observation_mean) / policy.observation_std)
    action, alive = jnp.asarray(rows.action), jnp.asarray(rows.alive)
    columns = [leaf.reshape(len(leaf), -1, leaf.shape[-1]).transpose(2, 0, 1) for leaf in (observation, action)]
    return PreparedRows(columns[0], columns[1], alive, row_facts(rows))


def unit_log_probs(
    bare: GaussianPolicy, rows: PreparedRows, unit: UnitIndex, products: Products
) -> Float[Array, "row side"]:
    """Sum of token log-probs of all trajectories of a unit, without gradient; a row at a time on CPUs."""

    def one(row: Array) -> Array:
        return pair_log_probs(bare, rows, unit, row[None], products)[0]

    count, steps = rows.facts.rows, rows.observation.shape[3]
    at_once = rows_at_once(steps, count)
    found = jax.lax.map(one, jnp.arange(count), batch_size=None if at_once == 1 else at_once)
    return jax.lax.stop_gradient(found)


def pair_log_probs(
    bare: GaussianPolicy, rows: PreparedRows, unit: UnitIndex, index: Int[Array, " row"], products: Products
) -> Float[Array, "row side"]:
    """Sum of token log-probs of the trajectories of some rows of a unit, all in one product a layer.

    Args:
        bare: the policy, its normaliser taken off.
    """
    observation, action = (_columns(leaf, unit, index) for leaf in (rows.observation, rows.action))
    alive = rows.alive[unit, index]
    if is_fused(products):
        found = fused_log_probs(bare, observation, action, products.precision)
    else:
        found = column_log_probs(bare, observation, action, products.precision)
    return (found.reshape(alive.shape) * alive).sum(-1)


def _columns(
    leaf: Float[Array, "unit size row step"], unit: UnitIndex, index: Int[Array, " chosen"]
) -> Float[Array, "size column"]:
    """The steps of some rows side by side, gathered from where they lie."""
    return jax.vmap(lambda one: one[unit, index], in_axes=1)(leaf).reshape(leaf.shape[1], -1)


def without_normaliser(policy: GaussianPolicy) -> GaussianPolicy:
    """The policy for observations that are normalised already."""
    size = policy.observation_mean.shape
    return eqx.tree_at(lambda p: (p.observation_mean, p.observation_std), policy, (jnp.zeros(size), jnp.ones(size)))
