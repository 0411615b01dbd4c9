"""The search: evolution strategies over learned members of the class, a generation one jitted program."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from adapters.search_settings import SearchSettings
from adapters.strategies import Strategy
from mpo_core.data_spec import DataSpec
from mpo_core.devices import round_up
from mpo_core.meta_objective import Jobs, job_returns, make_units
from mpo_core.pair_bank import PairBank, draw_rows
from mpo_core.policy import GaussianPolicy
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.settings import EvaluationSettings, InnerLoopSettings
from mpo_core.task import Task

MEAN, START, FIRST_MEMBER = 0, 1, 2
"""Places in a generation: the search mean and the start are scored beside the population, on the same units."""
LARGEST_SCORE = 1e6
"""A normalised score beyond it is physics that has blown up, not a policy's worth: it counts as failed (ours)."""


class SearchState(eqx.Module):
    """Everything that a search carries from one generation to the next."""

    strategy: Any
    mean_sum: PyTree
    """Sum of the search means of the last quarter of the search: their average is what the search returns."""
    mean_count: Int[Array, ""]
    seed: Int[Array, ""]
    """Carried rather than compiled in: a search with another seed finds its program in the cache."""


class GenerationScores(eqx.Module):
    """What a generation scored, as mean normalised score over its datasets; those of members are their fitness."""

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

    @property
    def jobs(self) -> int:
        """Inner loops (and evaluations) a generation, those of mean and start among them."""
        return len(self._places()[1])

    def start(self) -> SearchState:
        """The state before generation 0."""
        zeros = jax.tree.map(jnp.zeros_like, self._start)
        seed = self._problem.seed
        return self.place(SearchState(self._strategy.init(seed), zeros, jnp.zeros((), jnp.int32), jnp.int32(seed)))

    def place(self, tree: PyTree) -> PyTree:
        """Puts arrays on every device of the mesh, where `step` expects them: elsewhere it would compile anew."""
        return jax.device_put(tree, NamedSharding(self._mesh, PartitionSpec()))

    def result(self, state: SearchState) -> PyTree:
        """What the search found: its mean, averaged over the last quarter of the generations."""
        if int(state.mean_count) == 0:
            return self._strategy.mean(state.strategy)
        return jax.tree.map(lambda leaf: leaf / state.mean_count, state.mean_sum)

    def _generation(
        self, state: SearchState, generation: Int[Array, ""], bank: PairBank
    ) -> tuple[SearchState, GenerationScores]:
        seed = state.seed
        population, strategy = self._strategy.ask(state.strategy, key=stream_key(seed, Stream.STRATEGY, 1, generation))
        mean = self._strategy.mean(strategy)
        candidates = jax.tree.map(
            lambda *leaves: jnp.concatenate([leaves[0][None], leaves[1][None], leaves[2]]),
            mean, self._start, population,
        )  # fmt: skip
        scores = self._scores(candidates, bank, stream_key(seed, Stream.SEARCH, generation))
        strategy = self._strategy.tell(
            strategy, population, scores.members, key=stream_key(seed, Stream.STRATEGY, 2, generation)
        )
        late = (generation >= self._settings.generations * 3 // 4).astype(jnp.int32)
        after = self._strategy.mean(strategy)
        total = jax.tree.map(lambda done, new: done + late * new, state.mean_sum, after)
        return SearchState(strategy, total, state.mean_count + late, seed), scores

    def _scores(self, candidates: PyTree, bank: PairBank, key: PRNGKeyArray) -> GenerationScores:
        problem, settings = self._problem, self._settings
        unit_key = jax.vmap(lambda unit: jax.random.fold_in(key, unit))(jnp.arange(settings.datasets))

        def purpose(which: Purpose) -> Array:
            return jax.vmap(lambda one: jax.random.fold_in(one, which))(unit_key)

        rows = jax.vmap(lambda one: draw_rows(bank, problem.spec, problem.rows, key=one))(purpose(Purpose.LABELS))
        units = make_units(problem.original, rows, purpose(Purpose.TRAINING))
        split = jax.vmap(lambda one: jax.random.split(one, settings.episodes))
        evaluation_key = (split(purpose(Purpose.EVALUATION_START)), split(purpose(Purpose.EVALUATION_ACTIONS)))
        candidate, unit = self._places()
        jobs = self._jobs(candidates, candidate, unit)
        returns = job_returns(
            problem.task, jobs, self._common, units, problem.original, evaluation_key,
            (problem.inner, EvaluationSettings(settings.episodes, settings.horizon)), self._mesh,
        )  # fmt: skip
        low, high = problem.constants
        score = _credible((returns[: len(unit)] - low) / (high - low))
        table = jnp.zeros((FIRST_MEMBER + self._strategy.settings.population, settings.datasets))
        asked = np.zeros(table.shape, bool)
        asked[candidate, unit] = True
        return _summary(table.at[candidate, unit].set(score), asked)

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """The candidate and the dataset of every job.

        Mean and start are scored on all datasets, and so are members, unless they are spread: then each is scored on
        one, the two of an antithetic pair (evosax puts them half a population apart) on the same.
        """
        members, datasets = self._strategy.settings.population, self._settings.datasets
        candidate, unit = np.indices((FIRST_MEMBER + members, datasets))
        pair = (candidate - FIRST_MEMBER) % max(members // 2, 1)
        wanted = (candidate < FIRST_MEMBER) | (not self._settings.spread) | (pair % datasets == unit)
        return candidate[wanted], unit[wanted]

    def _jobs(self, candidates: PyTree, candidate: np.ndarray, unit: np.ndarray) -> Jobs:
        """The jobs, padded to a multiple of the devices."""
        padded = np.minimum(np.arange(round_up(len(unit), self._mesh)), len(unit) - 1)
        return Jobs(
            jax.tree.map(lambda leaf: leaf[candidate[padded]], candidates), jnp.asarray(unit[padded], jnp.int32)
        )


def _credible(score: Float[Array, " job"]) -> Float[Array, " job"]:
    """NaN for all that failed: a huge score would drown those of the others in rounding errors."""
    return jnp.where(jnp.abs(score) <= LARGEST_SCORE, score, jnp.nan)


def _summary(
    table: Float[Array, "candidate dataset"], asked: Bool[np.ndarray, "candidate dataset"]
) -> GenerationScores:
    """Mean scores; those of members are corrected for how hard their datasets were for the members scored on them.

    Datasets differ more than members do: without this a spread population would be ranked by its datasets. Where all
    members share the datasets, it changes nothing.
    """
    members, known = table[FIRST_MEMBER:], asked[FIRST_MEMBER:] & jnp.isfinite(table[FIRST_MEMBER:])
    level = jnp.where(known, members, 0.0).sum(0) / jnp.maximum(known.sum(0), 1)
    own = jnp.where(asked[FIRST_MEMBER:], members - level, 0.0).sum(1) / asked[FIRST_MEMBER:].sum(1)
    return GenerationScores(
        table[MEAN].mean(), table[START].mean(), own + level.sum() / jnp.maximum((known.sum(0) > 0).sum(), 1)
    )
