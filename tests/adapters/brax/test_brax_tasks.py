"""Brax environments behind the task interface: quiet, clipped, masked, scan-safe."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.brax.environments import BraxTask, envs, half_cheetah, mjcf, with_density
from mpo_core.policies.gaussian import GaussianPolicy, Layer
from mpo_core.rollout.envs import advance, start_envs
from mpo_experiments.tasks.load import load_task
from mpo_experiments.tasks.registry import TASKS, task_names, task_spec


def constant_policy(task: BraxTask, action: float) -> GaussianPolicy:
    """The same mode everywhere."""
    return GaussianPolicy(
        observation_mean=jnp.zeros(task.observation_size),
        observation_std=jnp.ones(task.observation_size),
        layers=(Layer(jnp.zeros((task.observation_size, task.action_size)), jnp.full(task.action_size, action)),),
        raw_scale=jnp.zeros(task.action_size),
    )


@pytest.fixture(scope="module")
def hopper_episodes():
    """Two envs of hopper, 250 steps from one start state, with actions of 1 and of 7: the only brax compile here."""
    task = load_task("hopper")
    envs = 2
    policies = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *(constant_policy(task, action) for action in (1.0, 7.0))
    )
    reset = jnp.stack([jax.random.key(3)] * envs)

    def episodes(policies, reset, act):
        return advance(task, policies, start_envs(task, policies, reset, act), jnp.float32(0.0), 250)

    _, record = jax.jit(episodes)(policies, reset, jax.random.split(jax.random.key(4), envs))
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


class MutatingEnv(envs.Env):
    """Changes the metrics and info of the state it is given, as brax's environments do."""

    observation_size, action_size, backend = 2, 1, "none"

    def reset(self, rng):
        return envs.State(None, jnp.zeros(2), jnp.zeros(()), jnp.zeros(()), {"speed": jnp.zeros(())}, {})

    def step(self, state, action):
        state.metrics.update(speed=jnp.ones(()))
        state.info.update(seen=jnp.ones(()))
        return state


def test_a_step_leaves_the_state_it_starts_from_alone():
    task = BraxTask("fake", "none", MutatingEnv(), 2, 1)
    state = task.reset(key=jax.random.key(0))
    after = task.step(state, jnp.zeros(1))
    assert state.physics.metrics["speed"] == 0
    assert state.physics.info == {}
    assert after.physics.metrics["speed"] == 1


def test_halfcheetah_has_the_masses_of_the_ordinary_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the ordinary model drops a log file
    path = Path(half_cheetah.__file__).parent / "assets" / "half_cheetah.xml"
    ordinary = mjcf.load(path)
    ours = load_task("halfcheetah").env.unwrapped.sys
    assert float(ours.link.inertia.mass.sum()) == pytest.approx(14, rel=1e-6)
    for theirs, own in zip(
        jax.tree.leaves((ordinary.link, ordinary.dof, ordinary.init_q)),
        jax.tree.leaves((ours.link, ours.dof, ours.init_q)),
        strict=True,
    ):
        np.testing.assert_allclose(own, theirs, rtol=1e-6, atol=1e-9)


def test_models_without_a_total_mass_are_left_alone():
    xml = "<mujoco><compiler angle='radian'/></mujoco>"
    assert with_density(xml) == xml


def test_one_instance_per_task():
    assert load_task("hopper") is load_task("hopper")
    assert hash(load_task("hopper")) == hash(load_task("hopper"))


@pytest.mark.parametrize("name", task_names())
def test_sizes_and_backends(name):
    task = load_task(name)
    assert (task.name, task.backend) == (name, task_spec(name).backend)
    sizes = {
        "halfcheetah": (17, 6), "hopper": (11, 3), "ant": (27, 8), "walker2d": (17, 6), "three_legged_ant": (27, 8),
        "reviews": (6, 1), "reviews_alike": (6, 1),
    }  # fmt: skip
    assert (task.observation_size, task.action_size) == sizes[name]


def test_a_wrong_name_is_told_the_nearest():
    with pytest.raises(ValueError, match="halfcheetah"):
        task_spec("half_cheetah")
    with pytest.raises(ValueError, match=", ".join(TASKS)):
        load_task("zebra")


def test_nothing_is_printed_and_no_file_is_dropped(tmp_path):
    code = (
        "import sys, mpo_experiments.tasks.registry; assert 'brax' not in sys.modules and 'jax' not in sys.modules;"
        "from mpo_experiments.tasks.load import load_task;"
        "[load_task(name) for name in mpo_experiments.tasks.registry.TASKS];"
        "import adapters.brax.ppo"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
