"""A generation on a language task as a plain script has it: `jit(vmap(train, then write and be judged))` on one device.

Same mathematics, dtype, minibatches and seeds as the search's; log-probs of the reference are computed once, as there.
Kept as a yardstick: it is not meant to be made faster.
"""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from benchmarks.usual_way import usual_updates
from mpo_core.evaluation.jobs import Jobs, Units
from mpo_core.policies.language import LanguagePolicy
from mpo_core.policies.transformer import Transformer
from mpo_core.rollout.task import Task
from mpo_core.settings import EvaluationSettings, InnerLoopSettings


def usual_language_generation(
    task: Task, policy: LanguagePolicy, inner: InnerLoopSettings, evaluation: EvaluationSettings, common: PyTree
) -> Callable[[Jobs, Units, Array, Array], tuple[LanguagePolicy, Float[Array, " job"]]]:
    """A function from jobs, units and the units' evaluation keys to trained models and what their texts are worth."""

    def one(job: Jobs, units: Units, reset_key: Array, action_key: Array) -> tuple[LanguagePolicy, Array]:
        unit = jax.tree.map(lambda leaf: leaf[job.unit], units)
        trained = usual_language_training(eqx.combine(job.objective, common), policy, unit, inner)
        return trained, _mean_worth(task, trained, reset_key[job.unit], action_key[job.unit], evaluation.horizon)

    return jax.jit(jax.vmap(one, in_axes=(0, None, None, None)))


def usual_language_training(
    objective, policy: LanguagePolicy, unit: Units, settings: InnerLoopSettings
) -> LanguagePolicy:
    """The inner loop of one job."""
    rows = unit.rows
    prompt = rows.observation[..., 0, : policy.prompt].astype(jnp.int32)
    tokens = jnp.concatenate([prompt, rows.action[..., 0].astype(jnp.int32)], -1)

    def log_probs(model: Transformer, index: Array) -> Array:
        each = jax.vmap(jax.vmap(model.token_log_probs))(tokens[index])
        return (each[..., policy.prompt - 1 :] * rows.alive[index]).sum(-1)

    return dataclasses.replace(policy, model=usual_updates(objective, policy.model, log_probs, unit, settings))


def _mean_worth(task: Task, policy: LanguagePolicy, reset_key: Array, action_key: Array, horizon: int) -> Array:
    def step(carry: tuple, number: Array) -> tuple[tuple, Array]:
        state, memory, alive = carry
        keys = jax.vmap(lambda key: jax.random.fold_in(key, number))(action_key)
        action, memory = policy.act(state.observation, memory, jnp.float32(1), keys)
        state = jax.vmap(task.step)(state, action)
        return (state, memory, alive * (1 - state.done)), jnp.where(alive > 0, state.reward, 0.0)

    start = jax.vmap(lambda key: task.reset(key=key))(reset_key)
    carry = (start, policy.begin(start.observation), jnp.ones(reset_key.shape))
    _, rewards = jax.lax.scan(step, carry, jnp.arange(horizon))
    return rewards.sum(0).mean()
