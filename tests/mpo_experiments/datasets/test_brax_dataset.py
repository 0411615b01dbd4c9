"""One real dataset: hopper, 64 rows, long enough for some to fall. Start states, masks, exports."""

import datasets
import jax
import minari
import numpy as np
import pytest

from adapters.storage.dataset_files import load_dataset
from helpers.command_line import invoke
from helpers.trajectories import assert_same_trajectories
from mpo_core.data.generate_pairs import pair_episodes
from mpo_core.data.specification import parse_data_spec
from mpo_core.seeds import Stream, stream_key
from mpo_core.training.learners import row_log_probs
from mpo_experiments.datasets.build import rollouts_of
from mpo_experiments.tasks.load import load_task

DATA, ROWS, LENGTH = "noisy:0.1+mixed:0.5", 64, 240
OPTIONS = ("--task", "hopper", "--data", DATA, "--rows", ROWS, "--length", LENGTH)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return tmp_path_factory.mktemp("brax")


@pytest.fixture(scope="module")
def rollouts(here):
    """The program is traced and compiled once for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        made = []
        patch.setattr(
            "mpo_experiments.datasets.build.rollouts_of",
            lambda recipe: (made or made.append(rollouts_of(recipe)) or made)[0],
        )
        patch.setenv("MPO_CACHE_DIR", str(here / "cache"))
        patch.setenv("MINARI_DATASETS_PATH", str(here / "minari"))
        patch.chdir(here)
        built = invoke("data", "build", *OPTIONS, "--out", "hopper")
        assert built.exit_code == 0, built.stderr
        yield made[0]


@pytest.fixture(scope="module")
def data(rollouts, here):
    return load_dataset(here / "hopper")


def test_both_sides_of_a_row_start_in_one_state_of_the_physics(data):
    task = load_task("hopper")
    _, keys = pair_episodes(parse_data_spec(DATA), ROWS, key=stream_key(0, Stream.DATASET))
    state = jax.jit(jax.vmap(lambda key: task.reset(key=key)))(keys[0])
    for leaf in (state.physics.pipeline_state.q, state.physics.pipeline_state.qd):
        by_row = np.asarray(leaf).reshape(ROWS, 2, -1)
        np.testing.assert_array_equal(by_row[:, 0], by_row[:, 1])
        assert len(np.unique(by_row[:, 0], axis=0)) == ROWS
    np.testing.assert_array_equal(data.start_key, np.asarray(jax.random.key_data(keys[0]))[::2])
    observed = np.asarray(state.observation).reshape(ROWS, 2, -1)
    np.testing.assert_allclose(data.rows.observation[:, :, 0], observed, rtol=1e-5, atol=1e-6)
    assert (data.rows.action[:, 0, 0] != data.rows.action[:, 1, 0]).all()


def test_nothing_after_a_fall_counts(data, rollouts):
    fell = data.steps < LENGTH
    assert 10 < fell.sum() < 2 * ROWS
    ended = data.rows.alive == 0
    spoiled = {
        name: np.where(ended.reshape(ended.shape + (1,) * (leaf.ndim - 3)), np.float32(1e3), leaf)
        for name, leaf in (("observation", data.rows.observation), ("action", data.rows.action))
    }
    log_prob = row_log_probs(rollouts.original, data.rows)
    other = row_log_probs(rollouts.original, type(data.rows)(**vars(data.rows) | spoiled))
    np.testing.assert_array_equal(log_prob, other)
    np.testing.assert_array_equal(data.rows.tokens, 3 * data.steps)
    for row, side in np.argwhere(fell)[:5]:
        taken = data.trajectory(int(row), int(side))
        assert taken.reward.sum() == pytest.approx(data.rows.return_[row, side], rel=1e-5)
        alone = rollouts.original.step_log_prob(taken.observation, taken.action).sum()
        assert float(log_prob[row, side]) == pytest.approx(float(alone), rel=1e-4)


def test_a_fallen_hopper_gains_nothing_by_more_time(data, rollouts):
    source, keys = pair_episodes(parse_data_spec(DATA), ROWS, key=stream_key(0, Stream.DATASET))
    first = slice(0, rollouts.program.envs)
    longer = rollouts.program.trajectories(
        rollouts.agents, source.reshape(-1)[first], tuple(key[first] for key in keys), horizon=LENGTH + 50
    )
    rows = len(longer.alive) // 2
    both_fell = (data.steps[:rows] < LENGTH).all(1)
    assert both_fell.sum() > 5
    for ours, theirs in ((data.steps, longer.alive.sum(1)), (data.rows.return_, longer.return_)):
        by_row = np.sort(theirs.reshape(rows, 2)[both_fell])  # the dataset's sides are ordered by label
        np.testing.assert_allclose(np.sort(ours[:rows][both_fell]), by_row, rtol=1e-5)
    assert not longer.reward[longer.alive == 0].any()


def test_parquet_and_minari_give_the_same_trajectories(data, here, monkeypatch):
    monkeypatch.chdir(here)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(here / "minari"))
    parquet = invoke("data", "export", "--dataset", "hopper", "--format", "parquet", "--out", "hopper.parquet")
    assert parquet.exit_code == 0, parquet.stderr
    found = datasets.load_dataset("parquet", data_files="hopper.parquet", split="train", cache_dir=str(here / "hf"))
    rows = list(found)
    assert_same_trajectories(
        data, lambda row, side: [rows[row][f"{side}_{what}"] for what in ("observation", "action", "reward")]
    )
    monkeypatch.setenv("MPO_CACHE_DIR", str(here / "cache"))
    exported = invoke("data", "export", *OPTIONS, "--format", "minari")
    assert exported.exit_code == 0, exported.stderr
    episodes = list(minari.load_dataset("mpo/hopper-mixed0p5_noisy0p1-rows64-length240-v0"))

    def trajectory(row, side):
        episode = episodes[2 * row + (side == "rejected")]
        return episode.observations[:-1], episode.actions, episode.rewards

    assert_same_trajectories(data, trajectory)
