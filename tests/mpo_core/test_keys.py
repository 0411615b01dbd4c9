"""No key is used twice: JAX's checker on the programs, and every key of a run written out and compared.

Two uses are meant: the members of a generation share their units' keys, and so do sampled and mode actions.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.evosax.entries import strategy_names
from adapters.evosax.settings import StrategySettings
from adapters.evosax.strategy import Strategy
from helpers.toy_task import TOY_HORIZON, ToyTask
from mpo_core.data.generate_pairs import generate_pairs
from mpo_core.data.pair_bank import draw_rows
from mpo_core.data.specification import parse_data_spec
from mpo_core.losses.catalogue import make_objective
from mpo_core.rollout.program import RolloutProgram
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.settings import InnerLoopSettings, RowSettings
from mpo_core.training.inner_loop import train
from mpo_core.training.update import STEP_KEYS

SPEC = parse_data_spec("mixed:0.5+noisy:0.1+judge:0.5")
LAST = 2**31 - 1


@pytest.fixture
def checked():
    with jax.debug_key_reuse(True):
        yield


def test_the_checker_checks(checked):
    key = jax.random.key(0)
    jax.random.normal(key)
    with pytest.raises(jax.errors.KeyReuseError):
        jax.random.normal(key)


def test_rollouts(checked, toy_agents):
    program = RolloutProgram(ToyTask(), envs=16, chunk=10)
    generate_pairs(program, toy_agents, SPEC, RowSettings(8, TOY_HORIZON), key=jax.random.key(1))


def test_drawing_and_judging_rows(checked, toy_bank):
    bank = jax.tree.map(jnp.asarray, toy_bank)
    jax.jit(lambda key: draw_rows(bank, SPEC, 8, key=key))(jax.random.key(1))


@pytest.mark.parametrize("id", ["dpo", "tempo", "kto"])
def test_training(checked, toy_original, toy_rows, id):
    settings = InnerLoopSettings(epochs=2, sft_epochs=1)
    objective = make_objective(id)
    jax.jit(lambda key: train(objective, toy_original, toy_rows, settings, key=key))(jax.random.key(1))


@pytest.mark.parametrize("name", strategy_names())
def test_strategies(checked, name):
    strategy = Strategy(StrategySettings(name, population=8), {"x": jnp.zeros(5)}, 4)
    state = strategy.init(0)
    population, state = strategy.ask(state, key=stream_key(0, Stream.STRATEGY, 1, 0))
    strategy.tell(state, population, population["x"].sum(1), key=stream_key(0, Stream.STRATEGY, 2, 0))


def keys_of_a_run():
    """Where every key of a run (generations, datasets, banks, units: a few of each) is used, and the key."""
    seed = 3
    for generation in range(4):
        for what in (1, 2):
            yield ("strategy", generation, what), stream_key(seed, Stream.STRATEGY, what, generation)
        for unit, purpose in itertools.product(range(7), list(Purpose)[2:]):
            at = ("search", generation, unit, purpose)
            yield from used(at, stream_key(seed, Stream.SEARCH, generation, unit, purpose), purpose)
    yield ("strategy",), stream_key(seed, Stream.STRATEGY, 0)
    for bank, purpose in itertools.product(range(3), list(Purpose)[:2]):
        yield from used(("bank", bank, purpose), stream_key(seed, Stream.SEARCH, LAST - bank, purpose), purpose)
    yield from used(("figures",), stream_key(seed, Stream.SEARCH, LAST, Purpose.LABELS), Purpose.LABELS)
    for stream in (Stream.TUNING, Stream.SELECTION, Stream.REPORTING):
        for unit, purpose in itertools.product(range(7), Purpose):
            yield from used((stream, unit, purpose), stream_key(seed, stream, unit, purpose), purpose)


def used(at, key, purpose):
    """The keys that are consumed below a purpose's own: splits, and what the inner loop folds in."""
    for place, child in enumerate(jax.random.split(key, 8)):
        yield (*at, "split", place), child
    if purpose == Purpose.TRAINING:
        steps = jax.random.fold_in(key, STEP_KEYS)
        for place, child in enumerate(jax.random.split(steps, 8)):
            yield (*at, "step", place), child


def test_every_key_of_a_run_differs():
    places, keys = zip(*keys_of_a_run(), strict=True)
    words = np.asarray(jax.random.key_data(jnp.stack(keys)))
    assert len(set(places)) == len(places) > 2000
    assert len(np.unique(words, axis=0)) == len(places)
