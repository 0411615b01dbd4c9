"""evosax behind one interface: our sign, our sigma, one compilation, no harm from members that failed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.evosax.names import check_population, strategy_class_name, strategy_description, strategy_names
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
    assert float(score_of(end)) > 0.6 * float(score_of(searched.start))


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
    assert all(strategy_description(name) for name in strategy_names())
    with pytest.raises(ValueError, match=r"did you mean 'openes'.*mpo list strategies"):
        strategy_class_name("open_es")
