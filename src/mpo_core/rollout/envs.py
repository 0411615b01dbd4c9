"""Policies in a task: many episodes side by side, a env each."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from mpo_core.policies.gaussian import GaussianPolicy
from mpo_core.rollout.task import Task, TaskState
from mpo_core.rollout.trajectory import Trajectory


class Envs(eqx.Module):
    """Episodes under way."""

    state: TaskState
    alive: Float[Array, " env"]
    key: Key[Array, " env"]
    step: Int[Array, " env"]


def start_envs(task: Task, reset_key: Key[Array, " env"], action_key: Key[Array, " env"]) -> Envs:
    """Fresh episodes. Equal reset keys give equal start states."""
    state = jax.vmap(lambda key: task.reset(key=key))(reset_key)
    return Envs(state, jnp.ones(reset_key.shape), action_key, jnp.zeros(reset_key.shape, jnp.int32))


def env_step(task: Task, policies: GaussianPolicy, envs: Envs, noise: Float[Array, ""]) -> tuple[Envs, Trajectory]:
    """One step of every env; what comes back has no time axis yet.

    Args:
        policies: policies along a leading axis, each for equally many neighbouring envs.
        noise: factor on the policy's deviation: 1 samples actions, 0 takes the mode.
    """
    observation = envs.state.observation
    mode, scale = _by_env(policies, observation)
    normal = jax.vmap(partial(_step_normal, shape=mode.shape[1:]))(envs.key, envs.step)
    action = jnp.asarray(mode + noise * scale * normal)
    state = jax.vmap(task.step)(envs.state, action)
    running = envs.alive > 0
    record = Trajectory(
        observation=jnp.where(running[:, None], observation, 0.0),
        action=jnp.where(running[:, None], action, 0.0),
        reward=jnp.where(running, state.reward, 0.0),
        alive=envs.alive,
    )
    return Envs(state, envs.alive * (1 - state.done), envs.key, envs.step + 1), record


def advance(
    task: Task, policies: GaussianPolicy, envs: Envs, noise: Float[Array, ""], steps: int
) -> tuple[Envs, Trajectory]:
    """`steps` steps of every env, recorded with axes (env, time, ...); policies as for `env_step`."""

    def body(carry: Envs, _: None) -> tuple[Envs, Trajectory]:
        return env_step(task, policies, carry, noise)

    envs, record = jax.lax.scan(body, envs, None, length=steps)
    return envs, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), record)


def env_returns(
    task: Task, policies: GaussianPolicy, envs: Envs, noise: Float[Array, ""], horizon: int
) -> Float[Array, " env"]:
    """Undiscounted return of every env over `horizon` steps, nothing recorded; policies as for `env_step`."""

    def body(carry: tuple[Envs, Array], _: None) -> tuple[tuple[Envs, Array], None]:
        envs, record = env_step(task, policies, carry[0], noise)
        return (envs, carry[1] + record.reward), None

    (_, total), _ = jax.lax.scan(body, (envs, jnp.zeros(envs.alive.shape)), None, length=horizon)
    return total


def _by_env(
    policies: GaussianPolicy, observation: Float[Array, "env observation"]
) -> tuple[Float[Array, "env action"], Float[Array, "env action"]]:
    """Mode and deviation of every env's action; a policy's envs share one matrix product."""
    scale = policies.scale
    own = observation.reshape(len(scale), -1, observation.shape[1])
    mode = jnp.asarray(jax.vmap(GaussianPolicy.mode)(policies, own))
    deviation = jnp.broadcast_to(scale[:, None], mode.shape)
    return mode.reshape(-1, mode.shape[-1]), deviation.reshape(-1, mode.shape[-1])


def _step_normal(key: Key[Array, ""], step: Int[Array, ""], shape: tuple[int, ...]) -> Float[Array, "*any"]:
    return jax.random.normal(jax.random.fold_in(key, step), shape)
