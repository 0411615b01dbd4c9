"""The meta-objective: what an objective is worth is the return of the policy it trains.

Policies are trained as in `jobs`; where many are judged, a device judges as many side by side as suit its memory.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PyTree

from mpo_core.devices import CPU_ENVS, is_cpu
from mpo_core.evaluation.jobs import Jobs, Units, sharded, train_shard
from mpo_core.evaluation.side_by_side import ONE_AFTER_ANOTHER, Block
from mpo_core.memory import ENV_STATE_BYTES, MAX_ENV_BYTES, tree_bytes
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.rollout.envs import env_returns, start_envs
from mpo_core.rollout.task import Task
from mpo_core.settings import EvaluationSettings, InnerLoopSettings


@dataclasses.dataclass(frozen=True)
class JobSettings:
    """How jobs train and are evaluated, and on which devices."""

    inner: InnerLoopSettings
    evaluation: EvaluationSettings
    mesh: Mesh
    block: Block = ONE_AFTER_ANOTHER
    """Jobs that a device trains side by side."""


def job_returns(
    task: Task,
    jobs: Jobs,
    common: PyTree,
    units: Units,
    policy: AbstractPolicy,
    evaluation_key: tuple[Key[Array, "unit episode"], Key[Array, "unit episode"]],
    settings: JobSettings,
) -> Float[Array, " job"]:
    """Mean return of the policy that each job trains. Arguments as for `train_jobs`, and:

    Args:
        evaluation_key: reset and action keys of the episodes of each unit; jobs of a unit share them.
    """
    body = partial(_return_shard, task, settings=settings)
    return sharded(body, settings.mesh, extra=1)(jobs, common, units, policy, evaluation_key)


def _return_shard(
    task: Task,
    jobs: Jobs,
    common: PyTree,
    units: Units,
    policy: AbstractPolicy,
    evaluation_key: tuple[Key[Array, "unit episode"], Key[Array, "unit episode"]],
    *,
    settings: JobSettings,
) -> Float[Array, " job"]:
    evaluation = settings.evaluation
    how = {"settings": settings.inner, "block": settings.block, "by_epoch": False}
    trained, _ = train_shard(jobs, common, units, policy, **how)
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
    policies: AbstractPolicy,
    reset_key: Key[Array, "job episode"],
    action_key: Key[Array, "job episode"],
    evaluation: EvaluationSettings,
) -> Float[Array, " job"]:
    envs = start_envs(task, policies, reset_key.reshape(-1), action_key.reshape(-1))
    total = env_returns(task, policies, envs, jnp.ones(()), evaluation.horizon)
    return total.reshape(-1, evaluation.episodes).mean(1)


def _evaluated_at_once(policy: AbstractPolicy, episodes: int, *, cpu: bool) -> int:
    """Jobs that a device evaluates side by side."""
    if cpu:
        return max(1, CPU_ENVS // episodes)
    env = ENV_STATE_BYTES + tree_bytes(policy)
    return max(1, MAX_ENV_BYTES // (episodes * env))
