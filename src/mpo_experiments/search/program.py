"""The search: evolution strategies over learned members of the class, a generation one jitted program.

A search is on one or several *cells*, combinations of a task and a kind of data: each has its own agents, bank of
pairs, units and constants, and a member's fitness is the mean of its normalised scores over them.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree

from adapters.evosax.strategy import Strategy
from mpo_core.data.pair_bank import PairBank, draw_rows
from mpo_core.data.rows import PreferenceRows
from mpo_core.data.specification import DataSpec
from mpo_core.devices import replicate, replicated
from mpo_core.evaluation.jobs import Jobs, job_size, make_units
from mpo_core.evaluation.meta_objective import JobSettings, job_returns
from mpo_core.evaluation.side_by_side import arrange
from mpo_core.memory import UNIT_COPIES, jobs_at_once, tree_bytes
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.rollout.task import Task
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.settings import EvaluationSettings, InnerLoopSettings
from mpo_experiments.settings.search_settings import SearchSettings

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
    cells: Float[Array, "cell 2"] | None = None
    """Of mean and start in each cell; None where there is one cell."""


@dataclasses.dataclass(frozen=True)
class SearchProblem:
    """A cell that is searched on."""

    task: Task
    original: AbstractPolicy
    spec: DataSpec
    rows: int
    inner: InnerLoopSettings
    constants: tuple[float, float]
    """Return of the original and of the target agent at the search's horizon: normalised scores 0 and 1."""
    seed: int
    """The same in all cells of a search."""
    evaluation: EvaluationSettings | None = None
    """How a trained policy is judged; None: by the episodes and the horizon of the search's settings."""


class SearchProgram:
    """A search, compiled once: `start` gives the first state, `step` runs a generation.

    Args:
        problem: the cell that is searched on, or all cells; those of a task side by side, so that they are trained and
            judged by one program. `step` takes the bank of the cell, or a tuple with the bank of each.
    """

    def __init__(
        self,
        problem: SearchProblem | Sequence[SearchProblem],
        settings: SearchSettings,
        strategy: Strategy,
        learned: tuple[PyTree, PyTree],
        mesh: Mesh,
    ):
        self._problems = (problem,) if isinstance(problem, SearchProblem) else tuple(problem)
        self._settings, self._strategy, self._mesh = settings, strategy, mesh
        self._start, self._common = learned
        # processes can only read what each of them holds whole
        whole = replicated(mesh)
        alone = whole.is_fully_addressable
        self.step = jax.jit(self._generation) if alone else jax.jit(self._generation, out_shardings=whole)

    @property
    def jobs(self) -> int:
        """Inner loops (and evaluations) a generation, those of mean and start among them."""
        return len(self._places()[1])

    def start(self) -> SearchState:
        """The state before generation 0."""
        zeros = jax.tree.map(jnp.zeros_like, self._start)
        seed = self._problems[0].seed
        return self.place(SearchState(self._strategy.init(seed), zeros, jnp.zeros((), jnp.int32), jnp.int32(seed)))

    def compiled(self, banks: tuple[PairBank, ...]) -> Callable[..., tuple[SearchState, GenerationScores]]:
        """`step` for banks of these shapes, compiled before there are such banks.

        Args:
            banks: as from `bank_shapes`, one a cell.
        """
        if not replicated(self._mesh).is_fully_addressable:
            return self.step  # processes compile when all of them have come so far
        whole = replicated(self._mesh)
        state, number, banks = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
            (self.start(), jnp.int32(0), banks),
        )
        return self.step.lower(state, number, banks).compile()

    def place(self, tree: PyTree) -> PyTree:
        """Puts arrays on every device of the mesh, where `step` expects them: elsewhere it would compile anew."""
        return replicate(tree, self._mesh)

    def result(self, state: SearchState) -> PyTree:
        """What the search found: its mean, averaged over the last quarter of the generations.

        Random search is not averaged: what it keeps is one of its draws.
        """
        if int(state.mean_count) == 0 or not self._strategy.entry.averages:
            return self._strategy.mean(state.strategy)
        return jax.tree.map(lambda leaf: leaf / state.mean_count, state.mean_sum)

    def _generation(
        self, state: SearchState, generation: Int[Array, ""], bank: PairBank | tuple[PairBank, ...]
    ) -> tuple[SearchState, GenerationScores]:
        seed = state.seed
        population, strategy = self._strategy.ask(state.strategy, key=stream_key(seed, Stream.STRATEGY, 1, generation))
        mean = self._strategy.mean(strategy)
        candidates = jax.tree.map(
            lambda *leaves: jnp.concatenate([leaves[0][None], leaves[1][None], leaves[2]]),
            mean, self._start, population,
        )  # fmt: skip
        banks = (bank,) if isinstance(bank, PairBank) else bank
        scores = self._scores(candidates, banks, stream_key(seed, Stream.SEARCH, generation))
        strategy = self._strategy.tell(
            strategy, population, scores.members, key=stream_key(seed, Stream.STRATEGY, 2, generation)
        )
        late = (generation >= self._settings.generations * 3 // 4).astype(jnp.int32)
        after = self._strategy.mean(strategy)
        total = jax.tree.map(lambda done, new: done + late * new, state.mean_sum, after)
        return SearchState(strategy, total, state.mean_count + late, seed), scores

    def _scores(self, candidates: PyTree, banks: tuple[PairBank, ...], key: PRNGKeyArray) -> GenerationScores:
        cells, datasets = len(self._problems), self._settings.datasets
        table = jnp.zeros((FIRST_MEMBER + self._strategy.settings.population, cells * datasets))
        asked = np.zeros(table.shape, bool)
        candidate, unit = self._places()
        asked[candidate, unit] = True
        for group in self._groups():
            own = (unit >= group.start * datasets) & (unit < group.stop * datasets)
            score = self._group_scores(candidates, group, (candidate[own], unit[own]), banks, key)
            table = table.at[candidate[own], unit[own]].set(score)
        return _summary(table, asked, cells)

    def _groups(self) -> list[range]:
        """Neighbouring cells that differ in their data alone: one program trains and judges for all of them."""
        found, first = [], 0
        for _, same in itertools.groupby(
            self._problems, lambda one: (id(one.task), one.rows, one.inner, one.evaluation)
        ):
            found.append(range(first, first := first + len(list(same))))
        return found

    def _group_scores(
        self,
        candidates: PyTree,
        group: range,
        places: tuple[np.ndarray, np.ndarray],
        banks: tuple[PairBank, ...],
        key: PRNGKeyArray,
    ) -> Float[Array, " job"]:
        """Normalised scores of the jobs of some cells."""
        settings, datasets = self._settings, self._settings.datasets
        first, problem = group.start * datasets, self._problems[group.start]
        unit_key = jax.vmap(lambda unit: jax.random.fold_in(key, unit))(jnp.arange(first, group.stop * datasets))

        def purpose(which: Purpose) -> Array:
            return jax.vmap(lambda one: jax.random.fold_in(one, which))(unit_key)

        rows = self._rows(group, banks, purpose(Purpose.LABELS))
        units = make_units(problem.original, rows, purpose(Purpose.TRAINING), problem.inner)
        evaluation = problem.evaluation or EvaluationSettings(settings.episodes, settings.horizon)
        split = jax.vmap(lambda one: jax.random.split(one, evaluation.episodes))
        evaluation_key = (split(purpose(Purpose.EVALUATION_START)), split(purpose(Purpose.EVALUATION_ACTIONS)))
        candidate, unit = places[0], places[1] - first
        plan = arrange(unit, self._mesh.size, self._at_once(problem, rows, banks))
        jobs = Jobs(
            jax.tree.map(lambda leaf: leaf[candidate[plan.job]], candidates), jnp.asarray(unit[plan.job], jnp.int32)
        )
        how = JobSettings(problem.inner, evaluation, self._mesh, plan.block)
        returns = job_returns(problem.task, jobs, self._common, units, problem.original, evaluation_key, how)
        constants = np.array([self._problems[cell].constants for cell in group])[unit // datasets]
        low, span = (value.astype(np.float32) for value in (constants[:, 0], constants[:, 1] - constants[:, 0]))
        return _credible((returns[plan.place] - low) / span)

    def _at_once(self, problem: SearchProblem, rows: PreferenceRows, banks: tuple[PairBank, ...]) -> int:
        """Jobs that a device trains side by side."""
        size = job_size(problem.original, (rows.margin.shape[1], rows.alive.shape[-1]), problem.inner)
        held = tree_bytes(banks) + UNIT_COPIES * tree_bytes(rows)
        return jobs_at_once(self._settings.members_at_once, size.bytes, held)

    def _rows(self, group: range, banks: tuple[PairBank, ...], key: Key[Array, " unit"]) -> PreferenceRows:
        """The datasets of some cells, along a leading unit axis."""
        found = [
            jax.vmap(partial(_draw, banks[cell], self._problems[cell]))(key[place : place + self._settings.datasets])
            for cell, place in zip(group, itertools.count(0, self._settings.datasets), strict=False)
        ]
        return found[0] if len(found) == 1 else jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """The candidate and the dataset of every job; datasets are numbered through all cells.

        Mean and start are scored on all datasets, and so are members, unless they are spread: then each is scored on
        one of a cell.
        """
        members, datasets = self._strategy.settings.population, self._settings.datasets
        candidate, unit = np.indices((FIRST_MEMBER + members, len(self._problems) * datasets))
        own = self._dataset_of_member()[candidate - FIRST_MEMBER] == unit % datasets
        wanted = (candidate < FIRST_MEMBER) | (not self._settings.spread) | own
        return candidate[wanted], unit[wanted]

    def _dataset_of_member(self) -> Int[np.ndarray, " member"]:
        """The dataset of a cell that each member of a spread population is scored on.

        The two of an antithetic pair share one, since what a pair says is the difference of its two. Members without a
        partner could have any; they take turns, the second half of the population beginning anew, as in all versions
        so far, so that a seed gives the same bytes.
        """
        members = self._strategy.settings.population
        pairs = self._strategy.entry.pairs(members)
        turn = np.arange(members) % max(members // 2, 1) if pairs is None else np.asarray(pairs)
        return turn % self._settings.datasets


def _draw(bank: PairBank, problem: SearchProblem, key: PRNGKeyArray) -> PreferenceRows:
    return draw_rows(bank, problem.spec, problem.rows, key=key)


def _credible(score: Float[Array, " job"]) -> Float[Array, " job"]:
    """NaN for all that failed: a huge score would drown those of the others in rounding errors."""
    return jnp.where(jnp.abs(score) <= LARGEST_SCORE, score, jnp.nan)


def _summary(
    table: Float[Array, "candidate dataset"], asked: Bool[np.ndarray, "candidate dataset"], cells: int
) -> GenerationScores:
    """Mean scores; those of members are corrected for how hard their datasets were for the members scored on them.

    Datasets differ more than members do: without this a spread population would be ranked by its datasets. Where all
    members share the datasets, it changes nothing.
    """
    members, known = table[FIRST_MEMBER:], asked[FIRST_MEMBER:] & jnp.isfinite(table[FIRST_MEMBER:])
    level = jnp.where(known, members, 0.0).sum(0) / jnp.maximum(known.sum(0), 1)
    own = jnp.where(asked[FIRST_MEMBER:], members - level, 0.0).sum(1) / asked[FIRST_MEMBER:].sum(1)
    return GenerationScores(
        table[MEAN].mean(),
        table[START].mean(),
        own + level.sum() / jnp.maximum((known.sum(0) > 0).sum(), 1),
        None if cells == 1 else table[:FIRST_MEMBER].reshape(FIRST_MEMBER, cells, -1).mean(2).T,
    )
