"""Policies in a task: many episodes side by side, an env each."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from mpo_core.policies.policy import AbstractPolicy, stacked_count
from mpo_core.rollout.task import Task, TaskState
from mpo_core.rollout.trajectory import Trajectory


class Envs(eqx.Module):
    """Episodes under way."""

    state: TaskState
    memory: PyTree
    """What policies remember of each, as their `begin` gives it."""
    alive: Float[Array, " env"]
    key: Key[Array, " env"]
    step: Int[Array, " env"]


def start_envs(
    task: Task, policies: AbstractPolicy, reset_key: Key[Array, " env"], action_key: Key[Array, " env"]
) -> Envs:
    """Fresh episodes. Equal reset keys give equal start states.

    Args:
        policies: policies along a leading axis, each for equally many neighbouring envs.
    """
    state = jax.vmap(lambda key: task.reset(key=key))(reset_key)
    begun = jax.vmap(lambda policy, own: policy.begin(own))(policies, _by_policy(policies, state.observation))
    return Envs(state, _by_env(begun), jnp.ones(reset_key.shape), action_key, jnp.zeros(reset_key.shape, jnp.int32))


def env_step(task: Task, policies: AbstractPolicy, envs: Envs, noise: Float[Array, ""]) -> tuple[Envs, Trajectory]:
    """One step of every env; what comes back has no time axis yet.

    Args:
        policies: as for `start_envs`; those of a policy share its matrix products.
        noise: 1 samples actions, 0 takes the mode.
    """
    observation = envs.state.observation
    key = jax.vmap(jax.random.fold_in)(envs.key, envs.step)
    own = _by_policy(policies, (observation, envs.memory, key))
    action, memory = _by_env(jax.vmap(lambda policy, seen: policy.act(*seen[:2], noise, seen[2]))(policies, own))
    state = jax.vmap(task.step)(envs.state, action)
    running = envs.alive > 0
    record = Trajectory(
        observation=jnp.where(running[:, None], observation, 0.0),
        action=jnp.where(running[:, None], action, 0.0),
        reward=jnp.where(running, state.reward, 0.0),
        alive=envs.alive,
    )
    return Envs(state, memory, envs.alive * (1 - state.done), envs.key, envs.step + 1), record


def advance(
    task: Task, policies: AbstractPolicy, envs: Envs, noise: Float[Array, ""], steps: int
) -> tuple[Envs, Trajectory]:
    """`steps` steps of every env, recorded with axes (env, time, ...); policies as for `env_step`."""

    def body(carry: Envs, _: None) -> tuple[Envs, Trajectory]:
        return env_step(task, policies, carry, noise)

    envs, record = jax.lax.scan(body, envs, None, length=steps)
    return envs, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), record)


def env_returns(
    task: Task, policies: AbstractPolicy, envs: Envs, noise: Float[Array, ""], horizon: int
) -> Float[Array, " env"]:
    """Undiscounted return of every env over `horizon` steps, nothing recorded; policies as for `env_step`."""

    def body(carry: tuple[Envs, Array], _: None) -> tuple[tuple[Envs, Array], None]:
        envs, record = env_step(task, policies, carry[0], noise)
        return (envs, carry[1] + record.reward), None

    (_, total), _ = jax.lax.scan(body, (envs, jnp.zeros(envs.alive.shape)), None, length=horizon)
    return total


def _by_policy(policies: AbstractPolicy, tree: PyTree) -> PyTree:
    """Leaves with an env axis as leaves with axes (policy, env of the policy)."""
    count = stacked_count(policies)
    return jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), tree)


def _by_env(tree: PyTree) -> PyTree:
    """The inverse of `_by_policy`."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)
