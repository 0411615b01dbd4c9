"""Preference optimisation itself: a policy, preference rows and an objective in, a better policy out."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mpo_core.data.rows import PreferenceRows
from mpo_core.losses.families.imitation import SftMean
from mpo_core.objective.interface import AbstractObjective
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.settings import InnerLoopSettings
from mpo_core.training.learner import Learner
from mpo_core.training.learners import learner_of, prepared_units
from mpo_core.training.trace import TrainingTrace
from mpo_core.training.update import initial_state, make_optimiser, step_keys, update_step


class SftPhase(eqx.Module):
    """What the SFT phase leaves: it is the same for all objectives of a unit and learning rate, and so is run once."""

    vector: Float[Array, "*batch parameter"]
    """The policy's trained parameters."""
    reference: Float[Array, "*batch row side"]
    """Log-probs of the rows under it."""
    trace: TrainingTrace


def train(
    objective: AbstractObjective,
    policy: AbstractPolicy,
    rows: PreferenceRows,
    settings: InnerLoopSettings,
    *,
    key: PRNGKeyArray,
    reference: Float[Array, "row side"] | None = None,
    after_sft: SftPhase | None = None,
) -> tuple[AbstractPolicy, TrainingTrace]:
    """Trains a policy on preference rows.

    Args:
        objective: the loss; sees t = update / total over all epochs, the SFT phase included. Its state, where it has
            one, begins after that phase.
        policy: where training starts, and the reference (after SFT, where there is such a phase).
        key: orders the minibatches, and is behind what a stateful objective draws.
        reference: `row_log_probs(policy, rows)` if at hand; shared by the members of a population.
        after_sft: `run_sft` with the same arguments if at hand, instead of the SFT phase.

    Returns:
        The trained policy and a trace of the updates.
    """
    learner = _learner(policy, rows, settings)
    return train_learner(objective, learner, settings, key=key, reference=reference, after_sft=after_sft)


def train_by_epoch(
    objective: AbstractObjective,
    policy: AbstractPolicy,
    rows: PreferenceRows,
    settings: InnerLoopSettings,
    *,
    key: PRNGKeyArray,
    reference: Float[Array, "row side"] | None = None,
) -> tuple[AbstractPolicy, TrainingTrace]:
    """Trains as `train` does, and keeps the policy at the end of every epoch.

    Returns:
        The policies, every leaf with a leading epoch axis: the last is the one `train` gives. A trace with axes
        (epoch, update of the epoch).
    """
    learner = _learner(policy, rows, settings)
    return train_learner_by_epoch(objective, learner, settings, key=key, reference=reference)


def train_learner(
    objective: AbstractObjective,
    learner: Learner,
    settings: InnerLoopSettings,
    *,
    key: PRNGKeyArray,
    reference: Float[Array, "row side"] | None = None,
    after_sft: SftPhase | None = None,
    learning_rate: Float[Array, ""] | None = None,
) -> tuple[Any, TrainingTrace]:
    """`train` for any policy and rows that make a learner.

    Args:
        learning_rate: instead of that of the settings, which is compiled in.
    """
    loop = _Loop(learner, settings, key, learning_rate)
    if after_sft is None:
        vector, phases = loop.phases(objective, reference, _scan_updates)
    else:
        vector, trace = loop.objective_phase(objective, after_sft.vector, after_sft.reference, _scan_updates)
        phases = [after_sft.trace, trace]
    return learner.policy(vector), _joined(phases)


def train_learner_by_epoch(
    objective: AbstractObjective,
    learner: Learner,
    settings: InnerLoopSettings,
    *,
    key: PRNGKeyArray,
    reference: Float[Array, "row side"] | None = None,
) -> tuple[Any, TrainingTrace]:
    """`train_by_epoch` for any policy and rows that make a learner."""
    scan = partial(_scan_epochs, learner.rows // settings.minibatch)
    _, phases = _Loop(learner, settings, key).phases(objective, reference, scan)
    vectors, trace = _joined(phases)
    return jax.vmap(learner.policy)(vectors), trace


def run_sft(
    policy: AbstractPolicy,
    rows: PreferenceRows,
    settings: InnerLoopSettings,
    *,
    key: PRNGKeyArray,
    reference: Float[Array, "row side"],
) -> SftPhase:
    """The SFT phase of `train` alone; arguments as there."""
    learner, epochs = _learner(policy, rows, settings), (settings.sft_epochs,)
    return run_learner_sft(learner, settings, epochs, key=key, reference=reference)[0]


def run_learner_sft(
    learner: Learner,
    settings: InnerLoopSettings,
    epochs: tuple[int, ...],
    *,
    key: PRNGKeyArray,
    reference: Float[Array, "row side"],
    learning_rate: Float[Array, ""] | None = None,
) -> tuple[SftPhase, ...]:
    """The SFT phase of `train_learner` alone, for each of several numbers of epochs: all are parts of the longest.

    Args:
        epochs: at least 1 each; `settings.sft_epochs` is not looked at.
    """
    return _Loop(learner, settings, key, learning_rate).sft_phases(reference, epochs)


def _learner(policy: AbstractPolicy, rows: PreferenceRows, settings: InnerLoopSettings) -> Learner:
    prepared = prepared_units(policy, jax.tree.map(lambda leaf: leaf[None], rows))
    return learner_of(policy, prepared, 0, settings.products)


class _Loop:
    """The two phases over one order of minibatches: SFT for the first `switch` updates, then the objective."""

    def __init__(
        self, learner: Learner, settings: InnerLoopSettings, key: PRNGKeyArray, learning_rate: Array | None = None
    ):
        self._learner, self._settings, self._key = learner, settings, key
        self._optimiser = make_optimiser(settings, learning_rate)
        self._epoch = learner.rows // settings.minibatch
        self._switch = settings.sft_epochs * self._epoch
        self._order = _minibatches(learner.rows, settings, key)
        self._progress = jnp.arange(self._order.shape[0]) / self._order.shape[0]

    def phases(self, objective: AbstractObjective, reference: Array | None, scan: Callable) -> tuple[Array, list]:
        """Parameters after all phases, and what `scan` kept of each."""
        vector, found = self._learner.start, []
        if reference is None:
            reference = self._learner.all_log_probs(vector)
        if self._switch:
            vector, reference, kept = self.sft_phase(reference, scan)
            found.append(kept)
        if self._settings.sft_epochs < self._settings.epochs:
            vector, kept = self.objective_phase(objective, vector, reference, scan)
            found.append(kept)
        return vector, found

    def sft_phase(self, reference: Array, scan: Callable) -> tuple[Array, Array, Any]:
        """Parameters after it, the reference they make, and what `scan` kept."""
        vector, kept = self._phase(SftMean(), self._learner.start, reference, slice(0, self._switch), None, scan)
        return vector, self._learner.all_log_probs(vector), kept

    def sft_phases(self, reference: Array, epochs: tuple[int, ...]) -> tuple[SftPhase, ...]:
        """What it leaves after each of several numbers of epochs."""
        part, scan = slice(0, max(epochs) * self._epoch), partial(_scan_epochs, self._epoch)
        _, (vectors, trace) = self._phase(SftMean(), self._learner.start, reference, part, None, scan)
        ends = vectors[np.array(epochs) - 1]
        references = jax.lax.map(self._learner.all_log_probs, ends)
        return tuple(
            SftPhase(ends[at], references[at], jax.tree.map(lambda leaf, own=own: _flat(leaf[:own]), trace))
            for at, own in enumerate(epochs)
        )

    def objective_phase(
        self, objective: AbstractObjective, vector: Array, reference: Array, scan: Callable
    ) -> tuple[Array, Any]:
        """Parameters after it, and what `scan` kept."""
        keys = step_keys(objective, self._order.shape[0], self._key)
        return self._phase(objective, vector, reference, slice(self._switch, None), keys, scan)

    def _phase(
        self, loss: AbstractObjective, start: Array, reference: Array, part: slice, keys: Array | None, scan: Callable
    ) -> tuple[Array, Any]:
        step = update_step(loss, self._learner, reference, self._optimiser)
        carry = (start, self._optimiser.init(start), initial_state(loss))
        updates = (self._order[part], self._progress[part], None if keys is None else keys[part])
        (end, _, _), kept = scan(step, carry, updates)
        return end, kept


def _flat(leaf: Array) -> Array:
    return leaf.reshape(-1, *leaf.shape[2:])


def _joined(phases: list) -> Any:
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *phases)


def _scan_updates(step: Callable, carry: tuple, updates: tuple) -> tuple[tuple, TrainingTrace]:
    return jax.lax.scan(step, carry, updates)


def _scan_epochs(
    updates_an_epoch: int, step: Callable, carry: tuple, updates: tuple
) -> tuple[tuple, tuple[Array, TrainingTrace]]:
    """Keeps the parameters after every epoch."""

    def epoch(carry: tuple, updates: tuple) -> tuple[tuple, tuple[Array, TrainingTrace]]:
        carry, trace = jax.lax.scan(step, carry, updates)
        return carry, (carry[0], trace)

    by_epoch = jax.tree.map(lambda leaf: leaf.reshape(-1, updates_an_epoch, *leaf.shape[1:]), updates)
    return jax.lax.scan(epoch, carry, by_epoch)


def _minibatches(rows: int, settings: InnerLoopSettings, key: PRNGKeyArray) -> Int[Array, "update minibatch"]:
    """Every epoch visits the rows in a fresh order; rows left over by the minibatch size sit that epoch out."""
    updates = rows // settings.minibatch
    if not updates:
        raise ValueError(f"inner loop: a minibatch of {settings.minibatch} rows needs more than {rows} rows of data")
    keys = jax.random.split(key, settings.epochs)
    order = jax.vmap(lambda epoch_key: jax.random.permutation(epoch_key, rows))(keys)
    kept = order[:, : updates * settings.minibatch]
    return kept.reshape(settings.epochs * updates, settings.minibatch)
