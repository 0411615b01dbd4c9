"""Policies in a task: many episodes side by side, a lane each."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from mpo_core.policy import GaussianPolicy
from mpo_core.task import Task, TaskState
from mpo_core.trajectories import Trajectory


class Lanes(eqx.Module):
    """Episodes under way."""

    state: TaskState
    alive: Float[Array, " lane"]
    key: Key[Array, " lane"]
    step: Int[Array, " lane"]


def start_lanes(task: Task, reset_key: Key[Array, " lane"], action_key: Key[Array, " lane"]) -> Lanes:
    """Fresh episodes. Equal reset keys give equal start states."""
    state = jax.vmap(lambda key: task.reset(key=key))(reset_key)
    return Lanes(state, jnp.ones(reset_key.shape), action_key, jnp.zeros(reset_key.shape, jnp.int32))


def lane_step(
    task: Task, policy: GaussianPolicy, lanes: Lanes, noise: Float[Array, ""], *, per_lane: bool
) -> tuple[Lanes, Trajectory]:
    """One step of every lane; what comes back has no time axis yet.

    Args:
        policy: one policy for all lanes, or with `per_lane` one a lane (leading axis on every leaf).
        noise: factor on the policy's deviation: 1 samples actions, 0 takes the mode.
    """
    observation = lanes.state.observation
    mode = jax.vmap(GaussianPolicy.mode)(policy, observation) if per_lane else policy.mode(observation)
    normal = jax.vmap(partial(_step_normal, shape=mode.shape[1:]))(lanes.key, lanes.step)
    action = jnp.asarray(mode + noise * policy.scale * normal)
    state = jax.vmap(task.step)(lanes.state, action)
    running = lanes.alive > 0
    record = Trajectory(
        observation=jnp.where(running[:, None], observation, 0.0),
        action=jnp.where(running[:, None], action, 0.0),
        reward=jnp.where(running, state.reward, 0.0),
        alive=lanes.alive,
    )
    return Lanes(state, lanes.alive * (1 - state.done), lanes.key, lanes.step + 1), record


def advance(
    task: Task, policy: GaussianPolicy, lanes: Lanes, noise: Float[Array, ""], steps: int
) -> tuple[Lanes, Trajectory]:
    """`steps` steps of every lane, a policy a lane, recorded with axes (lane, time, ...)."""

    def body(carry: Lanes, _: None) -> tuple[Lanes, Trajectory]:
        return lane_step(task, policy, carry, noise, per_lane=True)

    lanes, record = jax.lax.scan(body, lanes, None, length=steps)
    return lanes, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), record)


def lane_returns(
    task: Task, policy: GaussianPolicy, lanes: Lanes, noise: Float[Array, ""], horizon: int
) -> Float[Array, " lane"]:
    """Undiscounted return of every lane over `horizon` steps, a policy a lane, nothing recorded."""

    def body(carry: tuple[Lanes, Array], _: None) -> tuple[tuple[Lanes, Array], None]:
        lanes, record = lane_step(task, policy, carry[0], noise, per_lane=True)
        return (lanes, carry[1] + record.reward), None

    (_, total), _ = jax.lax.scan(body, (lanes, jnp.zeros(lanes.alive.shape)), None, length=horizon)
    return total


def _step_normal(key: Key[Array, ""], step: Int[Array, ""], shape: tuple[int, ...]) -> Float[Array, "*any"]:
    return jax.random.normal(jax.random.fold_in(key, step), shape)
