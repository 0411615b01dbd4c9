"""evosax behind one interface: our sign, our sigma, one compilation, no harm from members that failed."""

import importlib
import inspect
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.evosax import entries
from adapters.evosax.entries import (
    StrategyEntry,
    check_population,
    register_strategy,
    strategy_entry,
    strategy_names,
)
from adapters.evosax.settings import StrategySettings
from adapters.evosax.strategy import Strategy
from mpo_core.policies.gaussian import Layer

POPULATION, GENERATIONS, SIGMA = 40, 30, 0.3
DIMENSIONS = 8


def score_of(population: Layer):
    """Highest, 0, where every kernel entry is 1 and every bias -1."""
    return -(jnp.square(population.kernel - 1).sum((-1, -2)) + jnp.square(population.bias + 1).sum(-1))


def flat(population: Layer) -> np.ndarray:
    return np.concatenate([np.asarray(population.kernel).reshape(len(population.kernel), -1), population.bias], 1)


class Searched:
    """A strategy and one jitted generation of it."""

    def __init__(self, name: str):
        settings = StrategySettings(name, population=POPULATION, sigma=SIGMA, learning_rate=0.2)
        self.start = Layer(jnp.full((3, 2), 0.25), jnp.zeros(2))
        self.strategy = Strategy(settings, self.start, GENERATIONS)
        self.step = jax.jit(self._step)
        self.traced = 0

    def _step(self, state, generation, failed):
        self.traced += 1
        ask, tell = jax.random.split(jax.random.fold_in(jax.random.key(3), generation))
        population, state = self.strategy.ask(state, key=ask)
        score = jnp.where(
            failed, jnp.resize(jnp.array([jnp.nan, jnp.inf, -jnp.inf]), failed.shape), score_of(population)
        )
        return self.strategy.tell(state, population, score, key=tell), population

    def run(self, generations, failed=None):
        state, population = self.strategy.init(0), None
        failed = jnp.zeros(POPULATION, bool) if failed is None else failed
        for generation in range(generations):
            state, population = self.step(state, jnp.int32(generation), failed)
        return self.strategy.mean(state), population


@pytest.fixture(scope="module", params=strategy_names())
def searched(request):
    return Searched(request.param)


def test_the_mean_starts_where_it_is_told_and_climbs(searched):
    begin = searched.strategy.mean(searched.strategy.init(0))
    jax.tree.map(np.testing.assert_array_equal, begin, searched.start)
    once, twice, end = (searched.run(generations)[0] for generations in (1, 2, GENERATIONS))
    if searched.strategy.entry.averages:  # random search keeps nothing that did not score well twice
        assert not np.array_equal(once.kernel, begin.kernel)
    assert not np.array_equal(twice.kernel, once.kernel)
    assert float(score_of(end)) > 0.6 * float(score_of(begin))


def test_the_first_population_deviates_by_sigma(searched):
    _, population = searched.run(1)
    deviation = flat(population) - flat(jax.tree.map(lambda leaf: leaf[None], searched.start))
    assert deviation.shape == (POPULATION, DIMENSIONS)
    assert 0.85 * SIGMA < np.sqrt(np.square(deviation).mean()) < 1.15 * SIGMA


def test_members_that_fail_do_no_harm(searched):
    """NaN, +inf and -inf scores count as the worst; the mean climbs on what the others say."""
    failed = jnp.arange(POPULATION) % 7 == 0
    end, population = searched.run(GENERATIONS, failed)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((end, population)))
    # the first member fails in every generation: what a random search keeps stands there, so it keeps nothing for long
    assert float(score_of(end)) > (0.6 if searched.strategy.entry.averages else 0.8) * float(score_of(searched.start))


def test_a_generation_in_which_all_fail_moves_nothing(searched):
    end, population = searched.run(2, jnp.ones(POPULATION, bool))
    jax.tree.map(np.testing.assert_array_equal, end, searched.start)
    assert np.isfinite(flat(population)).all()


def test_one_compilation_serves_all_generations(searched):
    searched.run(5)
    assert searched.traced == 1


def test_a_failed_member_repels_the_mean():
    """Of two antithetic halves, the one that fails pushes away."""
    searched = Searched("openes")
    population, state = searched.strategy.ask(searched.strategy.init(0), key=jax.random.key(1))
    direction = flat(population)[: POPULATION // 2].mean(0) - flat(population)[POPULATION // 2 :].mean(0)
    score = jnp.where(jnp.arange(POPULATION) < POPULATION // 2, jnp.nan, 0.5)
    moved = searched.strategy.mean(searched.strategy.tell(state, population, score, key=jax.random.key(2)))
    step = flat(jax.tree.map(lambda new, old: (new - old)[None], moved, searched.start))[0]
    assert step @ direction < 0


@pytest.mark.parametrize("name", ["openes", "pgpe", "ars", "cr_fm_nes"])
def test_antithetic_strategies_refuse_an_odd_population(name):
    with pytest.raises(ValueError, match="antithetic pairs: use an even number such as 8"):
        StrategySettings(name, population=7)
    check_population(name, 8)


def test_others_take_an_odd_one_but_not_a_tiny_one():
    check_population("cma_es", 7)
    with pytest.raises(ValueError, match="at least 4"):
        check_population("cma_es", 3)


def test_names_are_described_and_wrong_ones_are_told_the_nearest():
    assert all(strategy_entry(name).description for name in strategy_names())
    with pytest.raises(ValueError, match=r"did you mean 'openes'.*mpo list strategies"):
        strategy_entry("open_es")


# -- entries ------------------------------------------------------------------------------------------------------


def test_the_two_of_an_antithetic_pair_are_mirror_images_and_no_others_are(searched):
    """What shares a dataset in a spread population follows from the entry, so the entry has to be right."""
    population, _ = searched.strategy.ask(searched.strategy.init(0), key=jax.random.key(1))
    deviation = flat(population) - flat(jax.tree.map(lambda leaf: leaf[None], searched.start))
    pairs = searched.strategy.entry.pairs(POPULATION)
    sums = np.abs(deviation[:, None] + deviation[None]).max(-1)
    mirrored = {(one, other) for one, other in np.argwhere(sums < 1e-5).tolist() if one < other}
    if pairs is None:
        assert not mirrored - {(0, 1)}  # the first two of a random search are its start
    else:
        assert mirrored == {(pairs.index(pair), POPULATION - 1 - pairs[::-1].index(pair)) for pair in set(pairs)}
        assert len(mirrored) == POPULATION // 2


@pytest.mark.parametrize("name", strategy_names())
def test_entries_say_what_their_class_takes(name):
    entry = strategy_entry(name)
    module, _, attribute = entry.algorithm.partition(":")
    accepted = inspect.signature(getattr(importlib.import_module(module), attribute)).parameters
    assert entry.takes_sigma_schedule == ("std_schedule" in accepted)
    assert not entry.follows_gradient or {"optimizer", "fitness_shaping_fn"} <= accepted.keys()


def test_strategies_are_known_without_jax_and_evosax():
    code = "import sys, adapters.evosax.settings; assert not {'jax', 'evosax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (StrategyEntry("snes", "mine:Other", "Another."), "there is a strategy 'snes' already"),
        (StrategyEntry("my es", "mine:Other", "Another."), "'my es' is not a plain word"),
        (StrategyEntry("mine", "mine.Other", "Another."), "is not written as 'module:name'"),
    ],
)
def test_entries_that_would_fail_later_are_refused(entry, says):
    with pytest.raises(ValueError, match=says):
        register_strategy(entry)


def test_an_entry_of_even_populations_alone_says_so(monkeypatch):
    monkeypatch.setitem(entries._ENTRIES, "twos", StrategyEntry("twos", "mine:Twos", "In twos.", even=True))
    with pytest.raises(ValueError, match="takes even populations alone: use an even number such as 6"):
        check_population("twos", 5)


# -- random search ------------------------------------------------------------------------------------------------


def test_random_search_draws_around_its_start_whatever_it_has_found():
    searched = Searched("random")
    _, first = searched.run(1)
    found, last = searched.run(GENERATIONS)
    assert not np.array_equal(found.kernel, searched.start.kernel)
    for population in (first, last):
        fresh = flat(population)[2:] - flat(jax.tree.map(lambda leaf: leaf[None], searched.start))
        assert abs(fresh.mean()) < 0.2 * SIGMA
        assert 0.9 * SIGMA < fresh.std() < 1.1 * SIGMA


def tell(strategy, state, population, score):
    return strategy.tell(state, population, jnp.asarray(score, jnp.float32), key=jax.random.key(0))


def test_random_search_keeps_what_scores_well_a_second_time():
    """Generations differ by far more than members do; what was lucky once is not kept."""
    start = Layer(jnp.zeros((3, 2)), jnp.zeros(2))
    strategy = Strategy(StrategySettings("random", population=6, sigma=SIGMA), start, GENERATIONS)
    ask = jax.jit(strategy.ask)
    first, state = ask(strategy.init(0), key=jax.random.key(1))
    state = tell(strategy, state, first, [0, 0, 1, 9, 2, 1])  # member 3 is the best draw: 7.5 above the median
    np.testing.assert_array_equal(strategy.mean(state).kernel, start.kernel)
    second, state = ask(state, key=jax.random.key(2))
    np.testing.assert_array_equal(second.kernel[1], first.kernel[3])
    # the start was 1.5 below the median draw, and is now 1 below: 1.25 in the mean; the challenger is 1.4 below
    unlucky = tell(strategy, state, second, [99.0, 98.6, 100, 100, 100, 107])
    np.testing.assert_array_equal(strategy.mean(unlucky).kernel, start.kernel)
    kept = tell(strategy, state, second, [99.0, 98.8, 100, 100, 100, 107])  # 1.2 below
    np.testing.assert_array_equal(strategy.mean(kept).kernel, first.kernel[3])
    third, _ = ask(kept, key=jax.random.key(3))
    np.testing.assert_array_equal(third.kernel[0], first.kernel[3])
    np.testing.assert_array_equal(third.kernel[1], second.kernel[5])
