"""The search on the toy task: its bookkeeping, its determinism, and that it finds something."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.compilations import compilations
from helpers.toy_search import GENERATIONS, POPULATION, run, vector
from mpo_core.evaluation.side_by_side import arrange
from mpo_experiments.search import program as search
from mpo_experiments.search.program import FIRST_MEMBER


@pytest.fixture(scope="module")
def counted_search(make_program, toy_bank):
    """A search and how often it compiled its generation."""
    program = make_program()
    with compilations("_generation") as found:
        states = run(program, toy_bank)
    return (program, *states), len(found)


@pytest.fixture(scope="module")
def searched(counted_search):
    return counted_search[0]


def test_the_search_begins_at_the_start(searched):
    program, scores, _ = searched
    assert not vector(program._strategy.mean(program.start().strategy)).any()
    np.testing.assert_allclose(scores[0].mean, scores[0].start, rtol=1e-6)
    assert scores[0].members.shape == (POPULATION,)
    assert np.ptp(scores[0].members) > 0


def test_the_first_update_moves_the_mean(searched):
    program, _, states = searched
    assert np.abs(vector(program._strategy.mean(states[0].strategy))).max() > 0.01


def test_the_search_improves_on_its_start(searched):
    _, scores, _ = searched
    gains = [float(score.mean - score.start) for score in scores]
    assert np.mean(gains[-4:]) > 0.01


def test_all_generations_run_one_program(counted_search):
    assert counted_search[1] == 1


def test_generations_are_scored_on_fresh_units(searched):
    _, scores, _ = searched
    assert len({float(score.start) for score in scores}) == GENERATIONS


def test_what_is_found_averages_the_last_quarter(searched):
    program, _, states = searched
    late = [vector(program._strategy.mean(state.strategy)) for state in states[GENERATIONS * 3 // 4 :]]
    assert int(states[-1].mean_count) == len(late) == GENERATIONS - GENERATIONS * 3 // 4
    np.testing.assert_allclose(vector(program.result(states[-1])), np.mean(late, 0), rtol=1e-5, atol=1e-7)


def test_stopped_early_the_search_gives_its_mean(searched):
    program, _, states = searched
    expected = program._strategy.mean(states[0].strategy)
    np.testing.assert_array_equal(vector(program.result(states[0])), vector(expected))


def test_the_same_seed_gives_the_same_bytes_and_resuming_too(searched, make_program, toy_bank):
    _, scores, states = searched
    again = make_program()
    # a state that went through the host, as a checkpoint's does
    middle = again.place(jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), states[2]))
    with compilations("_generation") as found:
        resumed_scores, resumed_states = run(again, toy_bank, 5, state=middle, first=3)
    assert len(found) == 1
    fresh_scores, _ = run(again, toy_bank, 2)
    for found, expected in ((resumed_scores, scores[3:5]), (fresh_scores, scores[:2])):
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    assert vector(resumed_states[-1]).tobytes() == vector(states[4]).tobytes()


def test_one_device_scores_as_two(searched, make_program, toy_bank):
    _, scores, _ = searched
    alone, _ = run(make_program(devices=1), toy_bank, 2)
    for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(scores[:2]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.fixture
def fake_returns(monkeypatch):
    """In place of training: a return that grows with the sum of the parameters; some jobs fail."""

    def install(fails=()):
        def job_returns(task, jobs, common, units, policy, evaluation_key, *others, **options):
            total = sum(leaf.reshape(leaf.shape[0], -1).sum(1) for leaf in jax.tree.leaves(jobs.objective))
            for job in fails:
                total = total.at[job].set(jnp.nan)
            return total + 10.0 * jobs.unit

        monkeypatch.setattr(search, "job_returns", job_returns)

    return install


@pytest.mark.parametrize("strategy", ["openes", "cma_es"])
def test_members_that_fail_do_not_poison_the_search(make_program, toy_bank, fake_returns, strategy):
    fake_returns(fails=(FIRST_MEMBER, FIRST_MEMBER + 3))
    program = make_program(strategy=strategy)
    with compilations("_generation") as found:
        scores, states = run(program, toy_bank, 5)
    for score in scores:
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(score.members)), [0, 3])
    means = [vector(program._strategy.mean(state.strategy)) for state in states]
    assert np.isfinite(means).all()
    assert means[-1].sum() > means[0].sum() > 0
    assert len(found) == 1


def test_scores_are_normalised_and_averaged_over_datasets(make_program, toy_bank, fake_returns):
    fake_returns()
    program = make_program(datasets=3)
    scores, _ = run(program, toy_bank, 1)
    # returns of the start are 0, 10 and 20 on the three datasets; the constants are 2 and 12
    np.testing.assert_allclose(scores[0].start, (10 - 2) / 10, rtol=1e-6)
    assert scores[0].members.shape == (POPULATION,)


def test_candidates_are_split_over_devices_with_padding(make_program):
    candidate, unit = make_program(datasets=3)._places()
    wanted, plan = 3 * (POPULATION + 2), arrange(unit, 2, 1)
    assert plan.job.shape == (wanted + wanted % 2,)
    np.testing.assert_array_equal(candidate[plan.job][:wanted], np.repeat(np.arange(POPULATION + 2), 3))
    np.testing.assert_array_equal(unit[plan.job][:wanted], np.tile(np.arange(3), POPULATION + 2))


def test_a_spread_population_is_scored_once_each_and_twins_share_a_dataset(make_program):
    candidate, unit = make_program(datasets=2, spread=True)._places()
    of = {member: unit[candidate == member] for member in range(POPULATION + 2)}
    assert [len(of[place]) for place in (0, 1)] == [2, 2]
    members = [of[2 + member] for member in range(POPULATION)]
    assert all(len(own) == 1 for own in members)
    for one, twin in zip(members[: POPULATION // 2], members[POPULATION // 2 :], strict=True):
        assert one == twin
    assert {int(own[0]) for own in members} == {0, 1}


def test_a_spread_population_is_not_ranked_by_its_datasets(make_program, toy_bank, fake_returns):
    """The fake returns differ by 10 between datasets and by far less between members."""
    fake_returns()
    program = make_program(datasets=2, spread=True)
    scores, _ = run(program, toy_bank, 1)
    _, unit = program._places()
    assert np.ptp(scores[0].members) < 0.5
    by_dataset = [np.asarray(scores[0].members)[unit[4:] == dataset].mean() for dataset in (0, 1)]
    np.testing.assert_allclose(by_dataset[0], by_dataset[1], atol=1e-5)
