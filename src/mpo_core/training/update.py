"""One update of the inner loop: a minibatch of pairs, an objective, a step of the optimiser."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from jaxtyping import Array, Float, Key, PRNGKeyArray

from mpo_core.data.rows import CHOSEN, REJECTED
from mpo_core.objective.interface import AbstractObjective, AbstractStatefulObjective
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.settings import InnerLoopSettings
from mpo_core.training.learner import Learner
from mpo_core.training.trace import TrainingTrace, trace_of

STEP_KEYS = 0x57A7EF01
"""Folded into the training key for the keys of `AbstractStatefulObjective.step`. Splitting a key and folding a small
number into it give the same keys, so the number lies far above any count of epochs, into which the inner loop
splits it for its minibatches."""


def make_optimiser(settings: InnerLoopSettings, learning_rate: Float[Array, ""] | None) -> optax.GradientTransformation:
    """Adam after clipping of the gradient's norm.

    Args:
        learning_rate: instead of that of the settings, which is compiled in.
    """
    rate = settings.learning_rate if learning_rate is None else learning_rate
    return optax.chain(optax.clip_by_global_norm(settings.max_grad_norm), optax.adam(rate))


def step_keys(objective: AbstractObjective, updates: int, key: PRNGKeyArray) -> Key[Array, " update"] | None:
    """Keys of the updates, of an objective that draws; None of one without state."""
    if not isinstance(objective, AbstractStatefulObjective):
        return None
    return jax.random.split(jax.random.fold_in(key, STEP_KEYS), updates)


def initial_state(objective: AbstractObjective) -> Any:
    """None, which adds nothing to the program, of an objective without state."""
    return objective.initial_state() if isinstance(objective, AbstractStatefulObjective) else None


def update_step(
    objective: AbstractObjective,
    learner: Learner,
    reference: Float[Array, "row side"],
    optimiser: optax.GradientTransformation,
) -> Callable[[tuple, tuple], tuple[tuple, TrainingTrace]]:
    """A step for `jax.lax.scan`.

    It carries the policy's parameters, the optimiser's moments and the objective's state; an update is the rows of its
    minibatch, the progress t and a key (None of an objective without state).

    Args:
        reference: log-probs of the rows under the reference policy.
    """
    sees_groups = _sees_groups(objective)

    def pair_of(vector: Array, index: Array) -> PairLogProbs:
        log_prob, facts = learner.log_probs(vector, index), learner.facts(index)
        return PairLogProbs(
            chosen=log_prob[:, CHOSEN],
            rejected=log_prob[:, REJECTED],
            ref_chosen=reference[index, CHOSEN],
            ref_rejected=reference[index, REJECTED],
            chosen_length=facts.tokens[:, CHOSEN],
            rejected_length=facts.tokens[:, REJECTED],
            margin=facts.margin,
            group=facts.group if sees_groups else None,
        )

    def loss_of(vector: Array, state: Any, update: tuple) -> tuple[Array, tuple[PairLogProbs, Any]]:
        index, progress, key = update
        pair = pair_of(vector, index)
        losses, state = _losses(objective, pair, progress, state, key)
        return losses.mean(), (pair, state)

    def step(carry: tuple, update: tuple) -> tuple[tuple, TrainingTrace]:
        vector, moments, state = carry
        (loss, (pair, state)), gradient = jax.value_and_grad(loss_of, has_aux=True)(vector, state, update)
        change, moments = optimiser.update(gradient, moments, vector)
        return (vector + change, moments, state), trace_of(loss, gradient, pair)

    return step


def _sees_groups(objective: AbstractObjective) -> bool:
    return isinstance(objective, AbstractStatefulObjective) and objective.sees_groups


def _losses(objective: AbstractObjective, pair: PairLogProbs, progress: Array, state: Any, key: Array | None):
    if isinstance(objective, AbstractStatefulObjective):
        assert key is not None
        return objective.step(pair, progress, state, key=key)
    return objective(pair, progress), None
