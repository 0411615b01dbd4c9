"""Brax environments behind the task interface: quiet, clipped, masked, scan-safe."""

import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.brax_tasks import BraxTask, load_task, mjcf, with_density
from adapters.tasks import TASKS, task_names, task_spec
from mpo_core.policy import GaussianPolicy, Layer
from mpo_core.rollout import advance, start_lanes


def constant_policy(task: BraxTask, action: float, lanes: int) -> GaussianPolicy:
    """Always the same action, a policy a lane."""
    policy = GaussianPolicy(
        observation_mean=jnp.zeros(task.observation_size),
        observation_std=jnp.ones(task.observation_size),
        layers=(Layer(jnp.zeros((task.observation_size, task.action_size)), jnp.full(task.action_size, action)),),
        raw_scale=jnp.zeros(task.action_size),
    )
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (lanes, *leaf.shape)), policy)


@pytest.fixture(scope="module")
def hopper_episodes():
    """Two lanes of hopper, 60 steps, from one start state: actions of 1 and of 7. The only brax program compiled here."""
    task = load_task("hopper")
    lanes = 2
    policies = jax.tree.map(
        lambda one, seven: jnp.stack([one[0], seven[0]]), *(constant_policy(task, a, 1) for a in (1.0, 7.0))
    )
    reset = jnp.stack([jax.random.key(3)] * lanes)

    def episodes(policies, reset, act):
        return advance(task, policies, start_lanes(task, reset, act), jnp.float32(0.0), 60)

    _, record = jax.jit(episodes)(policies, reset, jax.random.split(jax.random.key(4), lanes))
    return jax.tree.map(np.asarray, record)


def test_a_fallen_hopper_ends_and_is_masked(hopper_episodes):
    alive = hopper_episodes.alive[0]
    assert alive[0] == 1
    assert alive[-1] == 0
    assert (np.diff(alive) <= 0).all()
    ended = alive == 0
    assert (hopper_episodes.reward[0][ended] == 0).all()
    assert (hopper_episodes.observation[0][ended] == 0).all()
    assert np.isfinite(hopper_episodes.observation).all()


def test_the_simulator_sees_clipped_actions_and_the_record_keeps_them_raw(hopper_episodes):
    np.testing.assert_array_equal(hopper_episodes.observation[0], hopper_episodes.observation[1])
    np.testing.assert_array_equal(hopper_episodes.reward[0], hopper_episodes.reward[1])
    assert hopper_episodes.action[0, 0, 0] == 1
    assert hopper_episodes.action[1, 0, 0] == 7


def test_a_step_leaves_the_state_it_starts_from_alone():
    def env_step(state, action):  # mutates in place, as brax does
        state.metrics["x"] = "altered"
        state.info["y"] = "altered"
        return SimpleNamespace(obs=jnp.zeros(2), reward=0.0, done=0.0)

    brax_state = SimpleNamespace(metrics={"x": 0}, info={})
    brax_state.replace = lambda **changes: SimpleNamespace(**{**vars(brax_state), **changes})
    task = BraxTask("fake", "none", SimpleNamespace(step=env_step), 2, 1)
    state = SimpleNamespace(physics=brax_state)
    BraxTask.step.__wrapped__(task, state, jnp.zeros(1)) if hasattr(BraxTask.step, "__wrapped__") else task.step(
        state, jnp.zeros(1)
    )
    assert brax_state.metrics == {"x": 0}
    assert brax_state.info == {}
