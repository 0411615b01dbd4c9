"""Jobs: objectives trained on units of replication, sharded over the devices.

A *unit* is one dataset with its training and evaluation seeds; a *job* is one objective trained on one unit. Each
trains by itself (`lax.map`), so results do not depend on how many devices there are. Where a device is asked to train
several at once, as accelerators like it, they are vmapped: jobs of one unit with one gathered minibatch for all of
them. Rows are held once, however many jobs train on them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from mpo_core.data.rows import PreferenceRows
from mpo_core.devices import POPULATION
from mpo_core.evaluation.side_by_side import ONE_AFTER_ANOTHER, Block, arrange
from mpo_core.memory import JobSize
from mpo_core.policies.policy import AbstractPolicy, parameter_count
from mpo_core.settings import InnerLoopSettings
from mpo_core.training.inner_loop import SftPhase, run_learner_sft, train_learner, train_learner_by_epoch
from mpo_core.training.learners import learner_of, prepared_units
from mpo_core.training.trace import TrainingTrace


class Units(eqx.Module):
    """Units of replication, along a leading axis."""

    rows: PreferenceRows
    prepared: PyTree
    """The rows as updates of the policy read them."""
    reference: Float[Array, "unit row side"]
    """Log-probs of the rows under the original agent, shared by all objectives."""
    training_key: Key[Array, " unit"]
    after_sft: SftPhase | None = None
    """What phases of SFT made of the original agent, along an axis of their own; objectives share them."""


class Jobs(eqx.Module):
    """Objectives to train, along a leading axis, and the unit of each."""

    objective: PyTree
    """Array leaves of the objectives; what they have in common (structure, constants) is passed apart."""
    unit: Int[Array, " job"]
    asked: Bool[Array, " job"] | None = None
    """False: a slot that is left over; where jobs train one after another it costs nothing, and gives zeros."""
    learning_rate: Float[Array, " job"] | None = None
    """None: that of the settings, for all."""
    phase: Int[Array, " job"] | None = None
    """Which of the units' `after_sft` each begins from, where there are any."""

    @property
    def own(self) -> PyTree:
        """What is a job's own, besides its unit."""
        return self.objective, self.learning_rate, self.phase


def make_units(
    policy: AbstractPolicy,
    rows: PreferenceRows,
    training_key: Key[Array, " unit"],
    inner: InnerLoopSettings | None = None,
) -> Units:
    """Units from rows that have a leading unit axis: adds what updates read, and the original's log-probs.

    Args:
        inner: the inner loop that they are for, whose products the reference's log-probs take; None: as by default.
    """
    products, prepared = (inner or InnerLoopSettings()).products, prepared_units(policy, rows)

    def reference_of(unit: Array) -> Float[Array, "row side"]:
        learner = learner_of(policy, prepared, unit, products)
        return learner.all_log_probs(learner.start)

    reference = jax.lax.map(reference_of, jnp.arange(rows.margin.shape[0]))
    return Units(rows, prepared, reference, training_key)


def job_size(policy: AbstractPolicy, rows: tuple[int, int], inner: InnerLoopSettings) -> JobSize:
    """What a job takes beside its unit's rows.

    Args:
        rows: of a unit, and the steps of each side.
    """
    count, length = rows
    return JobSize(
        widths=policy.widths, parameters=parameter_count(policy),
        steps=2 * inner.minibatch * length, updates=inner.epochs * (count // inner.minibatch),
    )  # fmt: skip


def sft_phases(
    units: Units,
    policy: AbstractPolicy,
    settings: InnerLoopSettings,
    mesh: Mesh,
    epochs: tuple[int, ...],
    learning_rate: Float[Array, " rate"] | None = None,
    at_once: int = 1,
) -> tuple[SftPhase, ...]:
    """The SFT phases of all units at several learning rates, so that `train_jobs` does not repeat them.

    Args:
        epochs: numbers of epochs of SFT; the shorter phases are parts of the longest.
        learning_rate: None: that of the settings alone.
        at_once: phases that a device trains side by side.

    Returns:
        For each of `epochs` the phases, rate after rate, the units of one in turn: `Units.after_sft` for `train_jobs`
        with so many `sft_epochs`.
    """
    count, rates = units.reference.shape[0], 1 if learning_rate is None else learning_rate.shape[0]
    rate, unit = (index.reshape(-1) for index in np.indices((rates, count)))
    plan = arrange(unit, mesh.size, at_once)
    own = None if learning_rate is None else learning_rate[rate[plan.job]]
    jobs = Jobs(None, jnp.asarray(unit[plan.job], jnp.int32), learning_rate=own)
    body = partial(_sft_shard, settings=settings, block=plan.block, epochs=epochs)
    return jax.tree.map(lambda leaf: leaf[plan.place], sharded(body, mesh)(jobs, None, units, policy))


def train_jobs(
    jobs: Jobs,
    common: PyTree,
    units: Units,
    policy: AbstractPolicy,
    settings: InnerLoopSettings,
    mesh: Mesh,
    block: Block = ONE_AFTER_ANOTHER,
) -> tuple[AbstractPolicy, TrainingTrace]:
    """Trains every job; policies and traces come back with a leading job axis.

    Args:
        jobs: as many as a multiple of the devices in the mesh; in blocks as `arrange` makes them, where there are such.
        common: what all objectives share; `eqx.combine(one job's objective, common)` is the objective.
        policy: the original agent.
        block: jobs that a device trains side by side.
    """
    body = partial(train_shard, settings=settings, block=block, by_epoch=False)
    return sharded(body, mesh)(jobs, common, units, policy)


def sharded(body: Callable[..., Any], mesh: Mesh, extra: int = 0) -> Callable[..., Any]:
    """`body` with its first argument, the jobs, split over the mesh; everything else is whole on every device.

    Args:
        extra: arguments that `body` takes beside jobs, common, units and policy.
    """
    split, whole = PartitionSpec(POPULATION), PartitionSpec()
    specs = (split, whole, whole, whole) + (whole,) * extra
    # scans over brax states fail the varying-axes check, hence check_vma=False
    return jax.shard_map(body, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)


def train_shard(
    jobs: Jobs,
    common: PyTree,
    units: Units,
    policy: AbstractPolicy,
    *,
    settings: InnerLoopSettings,
    block: Block,
    by_epoch: bool,
) -> tuple[AbstractPolicy, TrainingTrace]:
    """Trains the jobs of one device. Arguments as for `train_jobs`, and:

    Args:
        by_epoch: keep the policies after every epoch, along a second axis.
    """

    def one(own: PyTree, unit: Array) -> tuple[AbstractPolicy, TrainingTrace]:
        objective, learning_rate, phase = own
        learner = learner_of(policy, units.prepared, unit, settings.products)
        given = {"key": units.training_key[unit], "reference": units.reference[unit]}
        if by_epoch:
            return train_learner_by_epoch(eqx.combine(objective, common), learner, settings, **given)
        after_sft = jax.tree.map(lambda leaf: leaf[phase], units.after_sft)
        begun = {"after_sft": after_sft, "learning_rate": learning_rate}
        return train_learner(eqx.combine(objective, common), learner, settings, **given, **begun)

    return _in_blocks(one, jobs, block)


def _sft_shard(
    jobs: Jobs,
    common: PyTree,
    units: Units,
    policy: AbstractPolicy,
    *,
    settings: InnerLoopSettings,
    block: Block,
    epochs: tuple[int, ...],
) -> tuple[SftPhase, ...]:
    def one(own: PyTree, unit: Array) -> tuple[SftPhase, ...]:
        learner = learner_of(policy, units.prepared, unit, settings.products)
        given = {"key": units.training_key[unit], "reference": units.reference[unit], "learning_rate": own[1]}
        return run_learner_sft(learner, settings, epochs, **given)

    return _in_blocks(one, jobs, block)


def _in_blocks(one: Callable[[PyTree, Array], Any], jobs: Jobs, block: Block) -> Any:
    """Calls `one` with what is a job's own and with its unit: block after block, those of a block side by side.

    Nothing that depends on the unit alone has an axis of members: it is computed once a group.
    """
    if block == ONE_AFTER_ANOTHER:
        return jax.lax.map(partial(_if_asked, one), jobs)

    def group(own: PyTree, units: Int[Array, " member"]) -> Any:
        return jax.vmap(lambda one_own: one(one_own, units[0]), axis_size=block.members)(own)

    def side_by_side(some: Jobs) -> Any:
        return jax.vmap(group)(some.own, some.unit)

    shape = (-1, block.groups, block.members)
    found = jax.lax.map(side_by_side, jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), jobs))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[3:]), found)


def _if_asked(one: Callable[[PyTree, Array], Any], job: Jobs) -> Any:
    if job.asked is None:
        return one(job.own, job.unit)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(one, job.own, job.unit))
    return jax.lax.cond(job.asked, one, lambda *_: nothing, job.own, job.unit)
