"""The task whose agents differ by a constraint: what is penalised, and that its training starts from ant's target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.brax.environments import build_environment
from adapters.brax.penalised_actions import METRIC
from adapters.brax.ppo import to_brax, to_gaussian_policy
from mpo_experiments.agents.lookup import load_agents, load_card
from mpo_experiments.agents.training import choose
from mpo_experiments.tasks.registry import LEG_WEIGHT, RIGHT_BACK_LEG, task_spec


@pytest.fixture(scope="module")
def envs_():
    plain = build_environment("ant", "spring")
    return plain, task_spec("three_legged_ant").make()


def test_the_leg_is_the_one_that_its_actuators_move(envs_):
    # actions 0 and 1 act on joints whose name ends in 4, whatever the docstring's order
    plain, _ = envs_
    joints = [plain.sys.actuator.qd_id[place] for place in RIGHT_BACK_LEG]
    # the free body has 6 velocities, then legs 1 to 4 with hip and ankle each
    assert [int(joint) for joint in joints] == [6 + 6, 6 + 7]


@pytest.mark.usefixtures("optimised")
def test_only_the_leg_costs_more(envs_):
    plain, penalised = envs_
    action = jnp.asarray([0.5, -1.0, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3])
    states = [env.reset(jax.random.key(0)) for env in (plain, penalised)]
    before, after = (jax.jit(env.step)(state, action) for env, state in zip((plain, penalised), states, strict=True))
    np.testing.assert_allclose(before.obs, after.obs)
    np.testing.assert_allclose(before.reward - after.reward, LEG_WEIGHT * 1.25, rtol=1e-4)
    np.testing.assert_allclose(after.metrics[METRIC], -LEG_WEIGHT * 1.25, rtol=1e-6)
    assert jax.tree.structure(states[1]) == jax.tree.structure(after)


def test_its_original_is_ants_target():
    original, ants_target = load_agents("three_legged_ant")[0], load_agents("ant")[1]
    for one, other in zip(jax.tree.leaves(original), jax.tree.leaves(ants_target), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert task_spec("three_legged_ant").recipe.start == "ant"
    assert "target agent of task ant" in load_card("three_legged_ant").rule


def test_its_target_keeps_the_leg_still_and_walks():
    original, target = load_agents("three_legged_ant")[:2]
    card = load_card("three_legged_ant")
    assert card.target.sampled.low > card.original.sampled.high
    # the deviations of the leg's two actions went down, those of the others did not need to
    leg = np.asarray(RIGHT_BACK_LEG)
    assert (target.scale[leg] < original.scale[leg]).all()


def test_a_policy_survives_the_way_through_brax():
    policy = load_agents("ant")[0]
    back = to_gaussian_policy(to_brax(policy))
    for one, other in zip(jax.tree.leaves(policy), jax.tree.leaves(back), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_started_run_keeps_its_start_as_the_original():
    returns = {0: 10.0, 10: 40.0, 20: 90.0, 30: 80.0}
    assert choose(returns, started=True) == (0, 20)
    assert choose(returns) == (10, 20)
