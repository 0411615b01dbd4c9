"""The search: evolution strategies over learned members of the class, a generation one jitted program."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from adapters.search_settings import SearchSettings
from adapters.strategies import Strategy
from mpo_core.data_spec import DataSpec
from mpo_core.meta_objective import Jobs, job_returns, make_units
from mpo_core.pair_bank import PairBank, draw_rows
from mpo_core.policy import GaussianPolicy
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.settings import EvaluationSettings, InnerLoopSettings
from mpo_core.task import Task

MEAN, START, FIRST_MEMBER = 0, 1, 2
"""Places in a generation: the search mean and the start are scored beside the population, on the same units."""


class SearchState(eqx.Module):
    """Everything that a search carries from one generation to the next."""

    strategy: Any
    mean_sum: PyTree
    """Sum of the search means of the second half of the search: their average is what the search returns."""
    mean_count: Int[Array, ""]


class GenerationScores(eqx.Module):
    """What a generation scored, as mean normalised score over its datasets."""

    mean: Float[Array, ""]
    start: Float[Array, ""]
    members: Float[Array, " member"]


@dataclasses.dataclass(frozen=True)
class SearchProblem:
    """What is searched on."""

    task: Task
    original: GaussianPolicy
    spec: DataSpec
    rows: int
    inner: InnerLoopSettings
    constants: tuple[float, float]
    """Return of the original and of the target agent at the search's horizon: normalised scores 0 and 1."""
    seed: int


class SearchProgram:
    """A search, compiled once: `start` gives the first state, `step` runs a generation."""

    def __init__(
        self,
        problem: SearchProblem,
        settings: SearchSettings,
        strategy: Strategy,
        learned: tuple[PyTree, PyTree],
        mesh: Mesh,
    ):
        self._problem, self._settings, self._strategy, self._mesh = problem, settings, strategy, mesh
        self._start, self._common = learned
        self.step = jax.jit(self._generation)

    def start(self) -> SearchState:
        """The state before generation 0."""
        zeros = jax.tree.map(jnp.zeros_like, self._start)
        return self.place(SearchState(self._strategy.init(self._problem.seed), zeros, jnp.zeros((), jnp.int32)))

    def place(self, tree: PyTree) -> PyTree:
        """Puts arrays on every device of the mesh, where `step` expects them: elsewhere it would compile anew."""
        return jax.device_put(tree, NamedSharding(self._mesh, PartitionSpec()))

    def result(self, state: SearchState) -> PyTree:
        """What the search found: its mean, averaged over the second half of the generations."""
        if int(state.mean_count) == 0:
            return self._strategy.mean(state.strategy)
        return jax.tree.map(lambda leaf: leaf / state.mean_count, state.mean_sum)

    def _generation(
        self, state: SearchState, generation: Int[Array, ""], bank: PairBank
    ) -> tuple[SearchState, GenerationScores]:
        seed = self._problem.seed
        population, strategy = self._strategy.ask(state.strategy, key=stream_key(seed, Stream.STRATEGY, 1, generation))
        mean = self._strategy.mean(strategy)
        candidates = jax.tree.map(
            lambda *leaves: jnp.concatenate([leaves[0][None], leaves[1][None], leaves[2]]),
            mean, self._start, population,
        )  # fmt: skip
        score = self._scores(candidates, bank, generation)
        strategy = self._strategy.tell(
            strategy, population, score[FIRST_MEMBER:], key=stream_key(seed, Stream.STRATEGY, 2, generation)
        )
        late = (generation + 1 > self._settings.generations // 2).astype(jnp.int32)
        after = self._strategy.mean(strategy)
        total = jax.tree.map(lambda done, new: done + late * new, state.mean_sum, after)
        scores = GenerationScores(score[MEAN], score[START], score[FIRST_MEMBER:])
        return SearchState(strategy, total, state.mean_count + late), scores

    def _scores(self, candidates: PyTree, bank: PairBank, generation: Int[Array, ""]) -> Float[Array, " candidate"]:
        problem, settings = self._problem, self._settings
        key = stream_key(problem.seed, Stream.SEARCH, generation)
        unit_key = jax.vmap(lambda unit: jax.random.fold_in(key, unit))(jnp.arange(settings.datasets))

        def purpose(which: Purpose) -> Array:
            return jax.vmap(lambda one: jax.random.fold_in(one, which))(unit_key)

        rows = jax.vmap(lambda one: draw_rows(bank, problem.spec, problem.rows, key=one))(purpose(Purpose.LABELS))
        units = make_units(problem.original, rows, purpose(Purpose.TRAINING))
        split = jax.vmap(lambda one: jax.random.split(one, settings.episodes))
        evaluation_key = (split(purpose(Purpose.EVALUATION_START)), split(purpose(Purpose.EVALUATION_ACTIONS)))
        count = jax.tree.leaves(candidates)[0].shape[0]
        jobs, wanted = self._jobs(candidates, count)
        returns = job_returns(
            problem.task, jobs, self._common, units, problem.original, evaluation_key,
            (problem.inner, EvaluationSettings(settings.episodes, settings.horizon)), self._mesh,
        )  # fmt: skip
        low, high = problem.constants
        return ((returns[:wanted].reshape(count, settings.datasets) - low) / (high - low)).mean(1)

    def _jobs(self, candidates: PyTree, count: int) -> tuple[Jobs, int]:
        """Every candidate on every dataset, padded to a multiple of the devices."""
        datasets = self._settings.datasets
        wanted = count * datasets
        padded = jnp.minimum(jnp.arange(-(-wanted // self._mesh.size) * self._mesh.size), wanted - 1)
        objective = jax.tree.map(lambda leaf: leaf[padded // datasets], candidates)
        return Jobs(objective, padded % datasets), wanted
