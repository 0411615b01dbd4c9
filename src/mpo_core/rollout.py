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


def lane_step(task: Task, policies: GaussianPolicy, lanes: Lanes, noise: Float[Array, ""]) -> tuple[Lanes, Trajectory]:
    """One step of every lane; what comes back has no time axis yet.

    Args:
        policies: policies along a leading axis, each for equally many neighbouring lanes.
        noise: factor on the policy's deviation: 1 samples actions, 0 takes the mode.
    """
    observation = lanes.state.observation
    mode, scale = _by_lane(policies, observation)
    normal = jax.vmap(partial(_step_normal, shape=mode.shape[1:]))(lanes.key, lanes.step)
    action = jnp.asarray(mode + noise * scale * normal)
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
    task: Task, policies: GaussianPolicy, lanes: Lanes, noise: Float[Array, ""], steps: int
) -> tuple[Lanes, Trajectory]:
    """`steps` steps of every lane, recorded with axes (lane, time, ...); policies as for `lane_step`."""

    def body(carry: Lanes, _: None) -> tuple[Lanes, Trajectory]:
        return lane_step(task, policies, carry, noise)

    lanes, record = jax.lax.scan(body, lanes, None, length=steps)
    return lanes, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), record)


def lane_returns(
    task: Task, policies: GaussianPolicy, lanes: Lanes, noise: Float[Array, ""], horizon: int
) -> Float[Array, " lane"]:
    """Undiscounted return of every lane over `horizon` steps, nothing recorded; policies as for `lane_step`."""

    def body(carry: tuple[Lanes, Array], _: None) -> tuple[tuple[Lanes, Array], None]:
        lanes, record = lane_step(task, policies, carry[0], noise)
        return (lanes, carry[1] + record.reward), None

    (_, total), _ = jax.lax.scan(body, (lanes, jnp.zeros(lanes.alive.shape)), None, length=horizon)
    return total


def _by_lane(
    policies: GaussianPolicy, observation: Float[Array, "lane observation"]
) -> tuple[Float[Array, "lane action"], Float[Array, "lane action"]]:
    """Mode and deviation of every lane's action; a policy's lanes share one matrix product."""
    scale = policies.scale
    own = observation.reshape(len(scale), -1, observation.shape[1])
    mode = jnp.asarray(jax.vmap(GaussianPolicy.mode)(policies, own))
    deviation = jnp.broadcast_to(scale[:, None], mode.shape)
    return mode.reshape(-1, mode.shape[-1]), deviation.reshape(-1, mode.shape[-1])


def _step_normal(key: Key[Array, ""], step: Int[Array, ""], shape: tuple[int, ...]) -> Float[Array, "*any"]:
    return jax.random.normal(jax.random.fold_in(key, step), shape)
