"""A search on the toy task that is cheap enough to run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.evosax.settings import StrategySettings
from adapters.evosax.strategy import Strategy
from helpers.toy_task import TOY_HORIZON
from mpo_core.data.specification import parse_data_spec
from mpo_core.devices import population_mesh
from mpo_core.losses.members import as_mirror
from mpo_core.mirror.learned import learned_mirror, split_learned
from mpo_core.settings import InnerLoopSettings
from mpo_experiments.search.program import SearchProblem, SearchProgram
from mpo_experiments.settings.search_settings import SearchSettings

GENERATIONS = 10
POPULATION = 8


@pytest.fixture(scope="module")
def make_program(toy_task, toy_original):
    """Builds a search that is cheap enough to run; every call compiles anew."""

    def make(devices=2, seed=0, generations=GENERATIONS, strategy="openes", population=POPULATION, **settings):
        learned = split_learned(learned_mirror(as_mirror("tempo"), temporal=False))
        problem = SearchProblem(
            task=toy_task, original=toy_original, spec=parse_data_spec("mixed:0.5"), rows=8,
            inner=InnerLoopSettings(epochs=2, learning_rate=1e-2), constants=(2.0, 12.0), seed=seed,
        )  # fmt: skip
        chosen = StrategySettings(strategy, population=population, sigma=0.4, learning_rate=0.2)
        return SearchProgram(
            problem, SearchSettings(generations=generations, bank_pairs=32, horizon=TOY_HORIZON, **settings),
            Strategy(chosen, learned[0], generations), learned, population_mesh(devices),
        )  # fmt: skip

    return make


def run(program, bank, generations=GENERATIONS, state=None, first=0):
    """Scores of every generation and the state after each."""
    state = program.start() if state is None else state
    placed, scores, states = program.place(bank), [], []
    for generation in range(first, generations):
        state, score = program.step(state, program.place(jnp.int32(generation)), placed)
        scores.append(jax.tree.map(np.asarray, score))
        states.append(state)
    return scores, states


def vector(tree):
    return np.concatenate([np.asarray(leaf).reshape(-1) for leaf in jax.tree.leaves(tree)])
