"""Divergence is normal: members that fail are counted and harmless, whatever the strategy; a bad step is found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.evosax.entries import strategy_names
from helpers.toy_search import run, vector
from helpers.toy_task import TOY_HORIZON
from mpo_core.data.specification import parse_data_spec
from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.comparison import ComparisonSettings
from mpo_core.evaluation.learning_curve import learning_curve
from mpo_core.losses.catalogue import make_objective
from mpo_core.objective.interface import AbstractObjective
from mpo_core.seeds import Stream
from mpo_core.settings import EvaluationSettings, InnerLoopSettings, RowSettings
from mpo_core.training.inner_loop import train
from mpo_core.training.trace import first_bad_update
from mpo_experiments.search import program as search
from mpo_experiments.search.program import FIRST_MEMBER, LARGEST_SCORE
from mpo_experiments.training_report import curve_values, divergence_note

SHARE = 0.3


@pytest.fixture
def failing(monkeypatch):
    """A share of the members, others each generation, comes back as NaN, infinite or huge."""

    def install(members, datasets=1, huge=False, trained=True):
        real = search.job_returns if trained else sum_of_parameters

        def job_returns(task, jobs, common, units, policy, evaluation_key, *others, **options):
            returns = real(task, jobs, common, units, policy, evaluation_key, *others, **options)
            seed = jax.random.key_data(evaluation_key[0]).sum(dtype=jnp.uint32)
            order = jax.random.permutation(jax.random.key(seed), members)
            candidate = jnp.concatenate([jnp.zeros(FIRST_MEMBER, bool), order < SHARE * members])
            fails = jnp.repeat(candidate, datasets)
            fails = jnp.concatenate([fails, jnp.zeros(len(returns) - len(fails), bool)])  # padding
            worse = jnp.array([1e30, -1e30, LARGEST_SCORE * 1e2] if huge else [jnp.nan, jnp.inf, -jnp.inf])
            return jnp.where(fails, jnp.resize(worse, fails.shape), returns)

        monkeypatch.setattr(search, "job_returns", job_returns)

    return install


def sum_of_parameters(task, jobs, *others, **options):
    """In place of training and judging."""
    return sum(leaf.reshape(leaf.shape[0], -1).sum(1) for leaf in jax.tree.leaves(jobs.objective))


@pytest.mark.parametrize("huge", [False, True])
def test_a_search_with_a_third_of_its_members_failing_still_improves(make_program, toy_bank, failing, huge):
    failing(20, datasets=4, huge=huge)
    program = make_program(generations=30, population=20, datasets=4)
    scores, states = run(program, toy_bank, 30)
    assert {int(np.isnan(score.members).sum()) for score in scores} == {6}
    assert all(np.isfinite(score.mean) for score in scores)
    assert all(np.isfinite(leaf).all() for leaf in map(np.asarray, jax.tree.leaves(states[-1].mean_sum)))
    gains = [float(score.mean - score.start) for score in scores]
    assert np.mean(gains[5:]) > 0.015


@pytest.mark.parametrize("strategy", strategy_names())
def test_no_strategy_is_poisoned(make_program, toy_bank, failing, strategy):
    failing(8, trained=False)
    program = make_program(strategy=strategy)
    scores, states = run(program, toy_bank, 6)
    for score, state in zip(scores, states, strict=True):
        assert np.isnan(score.members).sum() == 3
        assert not any(np.isnan(np.asarray(leaf)).any() for leaf in jax.tree.leaves(state))
    means = [vector(program._strategy.mean(state.strategy)) for state in states]
    assert np.isfinite(means).all()
    assert np.abs(means[-1] - means[0]).max() > 0


def test_what_failed_does_not_blur_the_others(make_program, toy_bank, failing):
    """A huge return in a mean would drown the scores of the others in its rounding error."""
    healthy, _ = run(make_program(), toy_bank, 1)
    failing(8, huge=True)
    found, _ = run(make_program(), toy_bank, 1)
    alive = np.isfinite(found[0].members)
    np.testing.assert_allclose(found[0].members[alive], healthy[0].members[alive], rtol=1e-5)


class BreaksHalfWay(AbstractObjective):
    """NaN gradients from the middle of training on."""

    def __call__(self, pair, progress):
        return jnp.where(progress >= 0.5, jnp.nan, -1.0) * pair.chosen_mean


def test_the_first_bad_step_is_reported(toy_original, toy_rows):
    settings = InnerLoopSettings(epochs=2)
    _, broken = train(BreaksHalfWay(), toy_original, toy_rows, settings, key=jax.random.key(0))
    _, healthy = train(make_objective("dpo"), toy_original, toy_rows, settings, key=jax.random.key(0))
    updates = broken.finite.shape[0]
    assert (int(broken.first_bad), int(healthy.first_bad)) == (updates // 2, -1)
    np.testing.assert_array_equal(first_bad_update(np.array([[1.0, 0, 1, 0], [1, 1, 1, 1], [0, 1, 1, 1]])), [1, -1, 0])


def test_a_learning_curve_says_where_training_broke(toy_program, toy_agents):
    settings = ComparisonSettings(
        spec=parse_data_spec("base"), rows=RowSettings(8, TOY_HORIZON), inner=InnerLoopSettings(epochs=4),
        evaluation=EvaluationSettings(episodes=2, horizon=TOY_HORIZON), seed=0, stream=Stream.SELECTION, units=2,
    )  # fmt: skip
    curve = learning_curve(toy_program, toy_agents, Candidate(BreaksHalfWay()), settings)
    assert curve.first_bad.tolist() == [8, 8]  # four updates an epoch
    note = divergence_note(curve, updates_an_epoch=4)
    assert note is not None
    assert note.startswith("Diverged in 2 of 2 units: first at update 9 (epoch 3), whose loss or gradient")
    values = curve_values(curve, curve.return_)
    assert [None if value is None else "number" for value in values["loss"][0]] == ["number", "number", None, None]
    fine = learning_curve(toy_program, toy_agents, Candidate(make_objective("dpo")), settings)
    assert divergence_note(fine, updates_an_epoch=4) is None
