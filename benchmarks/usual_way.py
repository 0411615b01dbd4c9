"""The same generation as a purejaxrl-style script has it: `jit(vmap(train, then roll out))` on one device.

Same mathematics, dtype, minibatches and seeds as the search's; log-probs of the reference are computed once, as there.
Kept as a yardstick: it is not meant to be made faster.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from adapters.brax.environments import BraxTask
from mpo_core.evaluation.jobs import Jobs, Units
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.policies.gaussian import GaussianPolicy
from mpo_core.settings import EvaluationSettings, InnerLoopSettings


def usual_generation(
    task: BraxTask, policy: GaussianPolicy, inner: InnerLoopSettings, evaluation: EvaluationSettings, common: PyTree
) -> Callable[[Jobs, Units, Array, Array], tuple[GaussianPolicy, Float[Array, " job"]]]:
    """A function from jobs, units and the units' evaluation keys to trained policies and their mean returns."""

    def one(job: Jobs, units: Units, reset_key: Array, action_key: Array) -> tuple[GaussianPolicy, Array]:
        unit = jax.tree.map(lambda leaf: leaf[job.unit], units)
        trained = usual_training(eqx.combine(job.objective, common), policy, unit, inner)
        return trained, _mean_return(task, trained, reset_key[job.unit], action_key[job.unit], evaluation.horizon)

    return jax.jit(jax.vmap(one, in_axes=(0, None, None, None)))


def usual_training(objective, policy: GaussianPolicy, unit: Units, settings: InnerLoopSettings) -> GaussianPolicy:
    """The inner loop of one job."""
    rows = unit.rows

    def policy_of(trained: tuple) -> GaussianPolicy:
        return dataclasses.replace(policy, layers=trained[0], raw_scale=trained[1])

    def log_probs(trained: tuple, index: Array) -> Array:
        log_prob = policy_of(trained).step_log_prob(rows.observation[index], rows.action[index])
        return (log_prob * rows.alive[index]).sum(-1)

    return policy_of(usual_updates(objective, (policy.layers, policy.raw_scale), log_probs, unit, settings))


def usual_updates(
    objective, start: PyTree, log_probs: Callable[[Any, Array], Array], unit: Units, settings: InnerLoopSettings
) -> Any:
    """What is trained, after all updates of an inner loop.

    Args:
        log_probs: of both sides of some rows, by their places, under what is trained.
    """
    clip, adam = optax.clip_by_global_norm(settings.max_grad_norm), optax.adam(settings.learning_rate)
    optimiser = optax.chain(clip, adam)
    rows, count = unit.rows, unit.rows.margin.shape[0]
    batches = count // settings.minibatch

    def loss_of(trained: PyTree, index: Array, progress: Array) -> Array:
        found = log_probs(trained, index)
        length = jnp.maximum(rows.tokens[index], 1.0)
        pair = PairLogProbs(
            chosen=found[:, 0], rejected=found[:, 1], ref_chosen=unit.reference[index, 0],
            ref_rejected=unit.reference[index, 1], chosen_length=length[:, 0], rejected_length=length[:, 1],
            margin=rows.margin[index], group=None,
        )  # fmt: skip
        return objective(pair, progress).mean()

    def update(carry: tuple, batch: tuple) -> tuple[tuple, Array]:
        trained, moments = carry
        loss, gradient = jax.value_and_grad(loss_of)(trained, *batch)
        change, moments = optimiser.update(gradient, moments, trained)
        return (optax.apply_updates(trained, change), moments), loss

    def epoch(carry: tuple, given: tuple) -> tuple[tuple, Array]:
        key, number = given
        order = jax.random.permutation(key, count)[: batches * settings.minibatch].reshape(batches, -1)
        progress = (number * batches + jnp.arange(batches)) / (settings.epochs * batches)
        return jax.lax.scan(update, carry, (order, progress))

    keys = jax.random.split(unit.training_key, settings.epochs)
    (end, _), _ = jax.lax.scan(epoch, (start, optimiser.init(start)), (keys, jnp.arange(settings.epochs)))
    return end


def _mean_return(task: BraxTask, policy: GaussianPolicy, reset_key: Array, action_key: Array, horizon: int) -> Array:
    env = task.env

    def step(carry: tuple, number: Array) -> tuple[tuple, Array]:
        state, alive = carry
        keys = jax.vmap(lambda key: jax.random.fold_in(key, number))(action_key)
        noise = jax.vmap(lambda key: jax.random.normal(key, (task.action_size,)))(keys)
        action = policy.mode(state.obs) + policy.scale * noise
        state = jax.vmap(env.step)(state, jnp.clip(action, -1, 1))
        return (state, alive * (1 - state.done)), jnp.where(alive > 0, state.reward, 0.0)

    start = jax.vmap(env.reset)(reset_key)
    _, rewards = jax.lax.scan(step, (start, jnp.ones(reset_key.shape)), jnp.arange(horizon))
    return rewards.sum(0).mean()
