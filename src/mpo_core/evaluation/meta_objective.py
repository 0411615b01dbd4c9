"""The meta-objective: what an objective is worth is the return of the policy it trains.

A *unit* of replication is one dataset with its training and evaluation seeds; a *job* is one objective trained on one
unit. Jobs are sharded over the devices; each trains by itself (`lax.map`), so results do not depend on how many there
are. Where a device is asked to train several at once, as accelerators like it, they are vmapped.
"""

import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, Key, PyTree

from mpo_core.data.rows import PreferenceRows
from mpo_core.devices import CPU_ENVS, POPULATION, is_cpu, round_up
from mpo_core.policies.gaussian import GaussianPolicy
from mpo_core.rollout.envs import env_returns, start_envs
from mpo_core.rollout.task import Task
from mpo_core.settings import EvaluationSettings, InnerLoopSettings
from mpo_core.training.inner_loop import SftPhase, run_sft, train
from mpo_core.training.prepared_rows import row_log_probs
from mpo_core.training.trace import TrainingTrace

MAX_ENV_BYTES = 2**30
"""Of the episodes that an accelerator evaluates side by side; more jobs than fit are evaluated chunk by chunk."""
ENV_STATE_BYTES = 2**15
"""Of the physics of one episode, about; its policy comes on top."""


class Units(eqx.Module):
    """Units of replication, along a leading axis."""

    rows: PreferenceRows
    reference: Float[Array, "unit row side"]
    """Log-probs of the rows under the original agent, shared by all objectives."""
    training_key: Key[Array, " unit"]
    after_sft: SftPhase | None = None
    """What the SFT phase made of the original agent, where objectives have one and share it."""


class Jobs(eqx.Module):
    """Objectives to train, along a leading axis, and the unit of each."""

    objective: PyTree
    """Array leaves of the objectives; what they have in common (structure, constants) is passed apart."""
    unit: Int[Array, " job"]


@dataclasses.dataclass(frozen=True)
class JobSettings:
    """How jobs train and are evaluated, and on which devices."""

    inner: InnerLoopSettings
    evaluation: EvaluationSettings
    mesh: Mesh
    at_once: int = 1
    """Jobs that a device trains side by side, each with a copy of its unit."""


def make_units(policy: GaussianPolicy, rows: PreferenceRows, training_key: Key[Array, " unit"]) -> Units:
    """Units from rows that have a leading unit axis: adds what the original agent makes of them."""
    reference = jax.lax.map(partial(row_log_probs, policy), rows)
    return Units(rows, reference, training_key)


def with_sft(units: Units, policy: GaussianPolicy, settings: InnerLoopSettings, mesh: Mesh) -> Units:
    """The units with their SFT phase done, so that `train_jobs` with the same settings does not repeat it."""
    count = units.reference.shape[0]
    jobs = Jobs(None, jnp.minimum(jnp.arange(round_up(count, mesh)), count - 1))
    phases = _sharded(partial(_sft_shard, settings=settings), mesh)(jobs, None, units, policy)
    return Units(units.rows, units.reference, units.training_key, jax.tree.map(lambda leaf: leaf[:count], phases))


def train_jobs(
    jobs: Jobs,
    common: PyTree,
    units: Units,
    policy: GaussianPolicy,
    settings: InnerLoopSettings,
    mesh: Mesh,
    at_once: int = 1,
) -> tuple[GaussianPolicy, TrainingTrace]:
    """Trains every job; policies and traces come back with a leading job axis.

    Args:
        jobs: as many as a multiple of the devices in the mesh.
        common: what all objectives share; `eqx.combine(one job's objective, common)` is the objective.
        policy: the original agent.
        at_once: jobs that a device trains side by side, each with a copy of its unit.
    """
    return _sharded(partial(_train_shard, settings=settings, at_once=at_once), mesh)(jobs, common, units, policy)


def job_returns(
    task: Task,
    jobs: Jobs,
    common: PyTree,
    units: Units,
    policy: GaussianPolicy,
    evaluation_key: tuple[Key[Array, "unit episode"], Key[Array, "unit episode"]],
    settings: JobSettings,
) -> Float[Array, " job"]:
    """Mean return of the policy that each job trains. Arguments as for `train_jobs`, and:

    Args:
        evaluation_key: reset and action keys of the episodes of each unit; jobs of a unit share them.
    """
    body = partial(_return_shard, task, settings=settings)
    return _sharded(body, settings.mesh, extra=1)(jobs, common, units, policy, evaluation_key)


def _sharded(body, mesh: Mesh, extra: int = 0):
    """Splits the jobs over the mesh, everything else is whole on every device."""
    split, whole = PartitionSpec(POPULATION), PartitionSpec()
    specs = (split, whole, whole, whole) + (whole,) * extra
    # scans over brax states fail the varying-axes check, hence check_vma=False
    return jax.shard_map(body, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)


def _train_shard(
    jobs: Jobs, common: PyTree, units: Units, policy: GaussianPolicy, *, settings: InnerLoopSettings, at_once: int
) -> tuple[GaussianPolicy, TrainingTrace]:
    def one(job: Jobs) -> tuple[GaussianPolicy, TrainingTrace]:
        unit = jax.tree.map(lambda leaf: leaf[job.unit], units)
        objective = eqx.combine(job.objective, common)
        return train(
            objective, policy, unit.rows, settings, key=unit.training_key, reference=unit.reference,
            after_sft=unit.after_sft,
        )  # fmt: skip

    return jax.lax.map(one, jobs, batch_size=None if at_once == 1 else at_once)


def _sft_shard(
    jobs: Jobs, common: PyTree, units: Units, policy: GaussianPolicy, *, settings: InnerLoopSettings
) -> SftPhase:
    def one(index: Array) -> SftPhase:
        unit = jax.tree.map(lambda leaf: leaf[index], units)
        return run_sft(policy, unit.rows, settings, key=unit.training_key, reference=unit.reference)

    return jax.lax.map(one, jobs.unit)


def _return_shard(
    task: Task,
    jobs: Jobs,
    common: PyTree,
    units: Units,
    policy: GaussianPolicy,
    evaluation_key: tuple[Key[Array, "unit episode"], Key[Array, "unit episode"]],
    *,
    settings: JobSettings,
) -> Float[Array, " job"]:
    evaluation = settings.evaluation
    trained, _ = _train_shard(jobs, common, units, policy, settings=settings.inner, at_once=settings.at_once)
    reset_key, action_key = (key[jobs.unit] for key in evaluation_key)
    chunks = -(-len(jobs.unit) // _evaluated_at_once(policy, evaluation.episodes, cpu=is_cpu(settings.mesh)))
    if chunks == 1:
        return _mean_returns(task, trained, reset_key, action_key, evaluation)
    # equal chunks, filled up with the last job: a remainder would be a second program of physics
    place = jnp.minimum(jnp.arange(-(-len(jobs.unit) // chunks) * chunks), len(jobs.unit) - 1).reshape(chunks, -1)

    def chunk(place: Int[Array, " job"]) -> Float[Array, " job"]:
        own = jax.tree.map(lambda leaf: leaf[place], trained)
        return _mean_returns(task, own, reset_key[place], action_key[place], evaluation)

    return jax.lax.map(chunk, place).reshape(-1)[: len(jobs.unit)]


def _mean_returns(
    task: Task,
    policies: GaussianPolicy,
    reset_key: Key[Array, "job episode"],
    action_key: Key[Array, "job episode"],
    evaluation: EvaluationSettings,
) -> Float[Array, " job"]:
    envs = start_envs(task, reset_key.reshape(-1), action_key.reshape(-1))
    total = env_returns(task, policies, envs, jnp.ones(()), evaluation.horizon)
    return total.reshape(-1, evaluation.episodes).mean(1)


def _evaluated_at_once(policy: GaussianPolicy, episodes: int, *, cpu: bool) -> int:
    """Jobs that a device evaluates side by side."""
    if cpu:
        return max(1, CPU_ENVS // episodes)
    env = ENV_STATE_BYTES + sum(leaf.nbytes for leaf in jax.tree.leaves(policy))
    return max(1, MAX_ENV_BYTES // (episodes * env))
