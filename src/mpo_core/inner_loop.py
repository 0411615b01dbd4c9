"""Preference optimisation itself: a policy, preference rows and an objective in, a better policy out."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mpo_core.objective import AbstractObjective
from mpo_core.objectives.imitation import SftMean
from mpo_core.pair_log_probs import MAX_LOG_PROB, PairLogProbs
from mpo_core.policy import GaussianPolicy
from mpo_core.settings import InnerLoopSettings
from mpo_core.trajectories import CHOSEN, REJECTED, PreferenceRows


class TrainingTrace(eqx.Module):
    """What happened, an entry an update."""

    loss: Float[Array, "*update"]
    chosen_mean: Float[Array, "*update"]
    """Mean token log-prob of the chosen trajectories."""
    rejected_mean: Float[Array, "*update"]
    accuracy: Float[Array, "*update"]
    """Share of rows whose chosen trajectory has the higher mean token log-prob."""
    clamped: Float[Array, "*update"]
    """Share of trajectories whose mean token log-prob lies above the clamp, log(1 - 1e-6)."""
    finite: Float[Array, "*update"]
    """1 where loss and gradient are finite."""


class _Rows(eqx.Module):
    """What an update reads of the rows, observations normalised already."""

    observation: Float[Array, "row side time observation"]
    action: Float[Array, "row side time action"]
    alive: Float[Array, "row side time"]
    tokens: Float[Array, "row side"]
    margin: Float[Array, " row"]


def row_log_probs(policy: GaussianPolicy, rows: PreferenceRows) -> Float[Array, "row side"]:
    """Sum of token log-probs of every trajectory, a row at a time to keep memory low."""
    return _row_log_probs(_bare(policy), _prepared(policy, rows))


def train(
    objective: AbstractObjective,
    policy: GaussianPolicy,
    rows: PreferenceRows,
    settings: InnerLoopSettings,
    *,
    key: PRNGKeyArray,
    reference: Float[Array, "row side"] | None = None,
) -> tuple[GaussianPolicy, TrainingTrace]:
    """Trains a policy on preference rows.

    Args:
        objective: the loss; sees t = update / total over all epochs, the SFT phase included.
        policy: where training starts, and the reference (after SFT, where there is such a phase).
        key: orders the minibatches.
        reference: `row_log_probs(policy, rows)` if at hand; shared by the members of a population.

    Returns:
        The trained policy and a trace of the updates.
    """
    prepared = _prepared(policy, rows)
    updates_an_epoch = rows.margin.shape[0] // settings.minibatch
    order = _minibatches(rows.margin.shape[0], settings, key)
    progress = jnp.arange(order.shape[0]) / order.shape[0]
    vector, unravel = ravel_pytree(_trained(policy))
    if reference is None:
        reference = _row_log_probs(_bare(policy), prepared)

    def phase(loss: AbstractObjective, start: Array, reference: Array, part: slice) -> tuple[Array, TrainingTrace]:
        step = _update_step(loss, _bare(policy), unravel, prepared, reference, settings)
        carry = (start, _optimiser(settings).init(start))
        (end, _), trace = jax.lax.scan(step, carry, (order[part], progress[part]))
        return end, trace

    switch = settings.sft_epochs * updates_an_epoch
    traces = []
    if switch:
        vector, trace = phase(SftMean(), vector, reference, slice(0, switch))
        reference = _row_log_probs(_assembled(_bare(policy), unravel(vector)), prepared)
        traces.append(trace)
    if settings.sft_epochs < settings.epochs:
        vector, trace = phase(objective, vector, reference, slice(switch, None))
        traces.append(trace)
    trained = _assembled(policy, unravel(vector))
    return trained, jax.tree.map(lambda *parts: jnp.concatenate(parts), *traces)


def _trained(policy: GaussianPolicy) -> tuple:
    return policy.layers, policy.raw_scale


def _assembled(policy: GaussianPolicy, trained: tuple) -> GaussianPolicy:
    return eqx.tree_at(_trained, policy, trained)


def _bare(policy: GaussianPolicy) -> GaussianPolicy:
    """The policy for observations that are normalised already."""
    size = policy.observation_mean.shape
    return eqx.tree_at(lambda p: (p.observation_mean, p.observation_std), policy, (jnp.zeros(size), jnp.ones(size)))


def _prepared(policy: GaussianPolicy, rows: PreferenceRows) -> _Rows:
    observation = jnp.asarray((rows.observation - policy.observation_mean) / policy.observation_std)
    action, alive, margin = (jnp.asarray(leaf) for leaf in (rows.action, rows.alive, rows.margin))
    return _Rows(observation, action, alive, jnp.maximum(rows.tokens, 1.0), margin)


def _optimiser(settings: InnerLoopSettings) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(settings.max_grad_norm), optax.adam(settings.learning_rate))


def _minibatches(rows: int, settings: InnerLoopSettings, key: PRNGKeyArray) -> Int[Array, "update minibatch"]:
    """Every epoch visits the rows in a fresh order; rows left over by the minibatch size sit that epoch out."""
    updates = rows // settings.minibatch
    if not updates:
        raise ValueError(f"inner loop: a minibatch of {settings.minibatch} rows needs more than {rows} rows of data")
    keys = jax.random.split(key, settings.epochs)
    order = jax.vmap(lambda epoch_key: jax.random.permutation(epoch_key, rows))(keys)
    kept = order[:, : updates * settings.minibatch]
    return kept.reshape(settings.epochs * updates, settings.minibatch)


def _row_log_probs(bare: GaussianPolicy, rows: _Rows) -> Float[Array, "row side"]:
    def one(row: tuple[Array, Array, Array]) -> Array:
        observation, action, alive = row
        return (bare.step_log_prob(observation, action) * alive).sum(-1)

    return jax.lax.stop_gradient(jax.lax.map(one, (rows.observation, rows.action, rows.alive)))


def _update_step(objective, bare: GaussianPolicy, unravel, rows: _Rows, reference: Array, settings: InnerLoopSettings):
    optimiser = _optimiser(settings)

    def pair_of(vector: Array, index: Array) -> PairLogProbs:
        policy = _assembled(bare, unravel(vector))
        log_prob = (policy.step_log_prob(rows.observation[index], rows.action[index]) * rows.alive[index]).sum(-1)
        return PairLogProbs(
            chosen=log_prob[:, CHOSEN],
            rejected=log_prob[:, REJECTED],
            ref_chosen=reference[index, CHOSEN],
            ref_rejected=reference[index, REJECTED],
            chosen_length=rows.tokens[index, CHOSEN],
            rejected_length=rows.tokens[index, REJECTED],
            margin=rows.margin[index],
        )

    def loss_of(vector: Array, index: Array, progress: Array) -> tuple[Array, PairLogProbs]:
        pair = pair_of(vector, index)
        return objective(pair, progress).mean(), pair

    def step(carry: tuple, update: tuple[Array, Array]) -> tuple[tuple, TrainingTrace]:
        vector, state = carry
        index, progress = update
        (loss, pair), gradient = jax.value_and_grad(loss_of, has_aux=True)(vector, index, progress)
        change, state = optimiser.update(gradient, state, vector)
        return (vector + change, state), _trace_of(loss, gradient, pair)

    return step


def _trace_of(loss: Array, gradient: Array, pair: PairLogProbs) -> TrainingTrace:
    means = jnp.stack([pair.chosen_mean, pair.rejected_mean])
    return TrainingTrace(
        loss=loss,
        chosen_mean=means[0].mean(),
        rejected_mean=means[1].mean(),
        accuracy=(means[0] > means[1]).mean(dtype=loss.dtype),
        clamped=(means > MAX_LOG_PROB).mean(dtype=loss.dtype),
        finite=(jnp.isfinite(loss) & jnp.isfinite(gradient).all()).astype(loss.dtype),
    )
