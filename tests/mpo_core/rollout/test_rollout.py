"""Rollouts: the same episodes whatever their packing, masked after their end, driven by the right keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.toy_task import toy_policy
from mpo_core.data.generate_pairs import stack_agents
from mpo_core.devices import population_mesh
from mpo_core.rollout.program import RolloutProgram

EPISODES, HORIZON = 10, 25


@pytest.fixture(scope="module")
def mixed_agents(toy_original):
    """The idle agent, and one that runs out of bounds."""
    return stack_agents(toy_original, toy_policy(jax.random.key(7), 5.0))


@pytest.fixture(scope="module")
def request_():
    """Policy of each episode, and its keys."""
    keys = tuple(jax.random.split(jax.random.key(seed), EPISODES) for seed in (1, 2))
    return np.arange(EPISODES) % 2, keys


@pytest.fixture(scope="module")
def episodes(toy_program, mixed_agents, request_):
    return toy_program.trajectories(mixed_agents, *request_, horizon=HORIZON)


@pytest.mark.parametrize(("envs", "chunk", "devices"), [(4, 7, 2), (10, 25, 2), (3, 10, 1), (64, 40, 1)])
def test_packing_does_not_change_the_episodes(toy_task, mixed_agents, request_, episodes, envs, chunk, devices):
    program = RolloutProgram(toy_task, envs=envs, chunk=chunk, mesh=population_mesh(devices))
    assert program.envs % devices == 0
    found = program.trajectories(mixed_agents, *request_, horizon=HORIZON)
    assert found.observation.shape == (EPISODES, HORIZON, 3)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(episodes), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_blocks_come_without_their_padding(toy_program, mixed_agents, request_):
    index, keys = np.resize(request_[0], 20), tuple(jnp.concatenate([key, key]) for key in request_[1])
    blocks = list(toy_program.blocks(mixed_agents, index, keys, horizon=5))
    assert [len(block.alive) for block in blocks] == [16, 4]
    np.testing.assert_allclose(blocks[0].return_[:4], blocks[0].return_[10:14])


def test_nothing_counts_after_the_end(toy_program, mixed_agents, request_):
    long = toy_program.trajectories(mixed_agents, *request_, horizon=60)
    steps = long.alive.sum(1)
    runs_away = request_[0] == 1
    assert (steps[runs_away] < 40).all()
    assert (steps[~runs_away] == 60).all()
    for episode in np.flatnonzero(runs_away):
        last = int(steps[episode])
        assert (long.alive[episode, :last] == 1).all()
        for leaf in (long.alive, long.reward, long.observation, long.action):
            assert not leaf[episode, last:].any()
        # the step that leaves the bounds still counts: the point was inside before it, its reward is that of |x| > 3
        assert abs(long.observation[episode, last - 1, 0]) <= 3
        assert long.reward[episode, last - 1] <= 1 - 2.0**2 + 1e-3


def test_blocks_in_which_all_have_ended_are_padded_to_the_horizon(toy_program, mixed_agents, request_):
    only_runaways = np.ones(EPISODES, int)
    long = toy_program.trajectories(mixed_agents, only_runaways, request_[1], horizon=95)
    assert long.alive.shape == (EPISODES, 95)
    assert long.alive.sum(1).max() < 40


def test_without_noise_the_mode_is_taken(toy_program, mixed_agents, toy_original, request_):
    calm = toy_program.trajectories(mixed_agents, *request_, horizon=HORIZON, noise=0.0)
    idle = request_[0] == 0
    np.testing.assert_allclose(calm.action[idle], toy_original.mode(calm.observation[idle]), rtol=1e-5, atol=1e-6)


def test_actions_have_the_policys_deviation(episodes, toy_original, request_):
    idle = request_[0] == 0
    normal = (episodes.action[idle] - toy_original.mode(episodes.observation[idle])) / toy_original.scale
    assert abs(float(normal.mean())) < 0.2
    assert 0.85 < float(normal.std()) < 1.15


def test_reset_keys_place_and_action_keys_act(toy_program, mixed_agents, request_):
    reset, act = request_[1]
    same_start = jnp.stack([reset[0], reset[0], reset[1]])
    other_acts = jnp.stack([act[0], act[1], act[0]])
    found = toy_program.trajectories(mixed_agents, np.zeros(3, int), (same_start, other_acts), horizon=5)
    np.testing.assert_array_equal(found.observation[0, 0], found.observation[1, 0])
    assert found.observation[0, 0, 0] != found.observation[2, 0, 0]
    assert (found.action[0] != found.action[1]).all()


def test_returns_are_sums_of_alive_rewards(toy_program, mixed_agents, request_, episodes):
    returns = toy_program.returns(mixed_agents, *request_, horizon=HORIZON)
    expected = [
        sum(r for r, a in zip(*pair, strict=True) if a) for pair in zip(episodes.reward, episodes.alive, strict=True)
    ]
    np.testing.assert_allclose(returns, expected, rtol=1e-5)
