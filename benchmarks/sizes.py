"""What the benchmarks run on: a task with a bank of pairs and random policies, at full size or tiny."""

import dataclasses
import os
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from adapters.brax.environments import BraxTask
from mpo_core.data.pair_bank import PairBank, draw_rows
from mpo_core.data.rows import PreferenceRows
from mpo_core.policies.gaussian import GaussianPolicy, Layer, raw_scale_of
from mpo_experiments.progress import SilentReporter
from mpo_experiments.search.build import build_search, learned_parts
from mpo_experiments.search.cells import SearchCell
from mpo_experiments.search.program import SearchProgram
from mpo_experiments.settings.run_config import CellConfig, RunConfig, build_single_run
from mpo_experiments.testbed import Testbed

TASK, LANGUAGE_TASK = "halfcheetah", "reviews"
TINY = os.environ.get("MPO_BENCH") == "tiny"
"""Whether only the code of the benchmarks is tried: their figures then mean nothing."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """A search at the size of a configuration."""

    run: RunConfig

    @property
    def config(self) -> CellConfig:
        """Of its one cell."""
        return self.run.cells()[0]

    @cached_property
    def testbed(self) -> Testbed:
        """Its task."""
        return Testbed(self.config.task, length=self.config.rows.length)

    @cached_property
    def task(self) -> BraxTask:
        """Its environment, of a control task."""
        found = self.testbed.task
        assert isinstance(found, BraxTask)
        return found

    @cached_property
    def original(self) -> GaussianPolicy:
        """The agent of a control task that training starts from."""
        found = self.testbed.original
        assert isinstance(found, GaussianPolicy)
        return found

    @cached_property
    def cell(self) -> SearchCell:
        """The one that is searched on."""
        return SearchCell(self.config, self.testbed)

    @cached_property
    def bank(self) -> PairBank:
        """Pairs of trajectories."""
        return self.cell.bank(0, SilentReporter())

    @cached_property
    def search(self) -> SearchProgram:
        """The search's program."""
        return build_search(self.run, [self.cell], self.learned)

    def rows(self, key: jax.Array) -> PreferenceRows:
        """A dataset drawn from the bank."""
        bank = jax.tree.map(jnp.asarray, self.bank)
        return draw_rows(bank, self.cell.spec, self.config.rows.count, key=key)

    @cached_property
    def learned(self) -> tuple[PyTree, PyTree]:
        """What the search varies, and what its members have in common."""
        return learned_parts(self.run, [self.cell])

    @property
    def updates(self) -> int:
        """Of an inner loop."""
        return self.config.inner.epochs * (self.config.rows.count // self.config.inner.minibatch)


def quick_bench(task: str = TASK, /, **overrides: dict) -> Bench:
    """The quick preset, with changes."""
    tiny = {"rows": {"count": 4, "length": 20}, "inner": {"epochs": 1}, "strategy": {"population": 4}} if TINY else {}
    small = {"search": {"bank_pairs": 8, "episodes": 1, "horizon": 50, "datasets": 2}} if TINY else {}
    return Bench(build_single_run({"task": task, "preset": "quick"}, overrides, tiny, small))


def random_rows(rows: int, length: int, observation: int, action: int) -> PreferenceRows:
    """Rows of the right shapes whose numbers mean nothing."""
    keys = jax.random.split(jax.random.key(3), 2)
    one, zero = jnp.ones(rows), jnp.zeros((rows, 2))
    return PreferenceRows(
        observation=jax.random.normal(keys[0], (rows, 2, length, observation)),
        action=jax.random.normal(keys[1], (rows, 2, length, action)),
        alive=jnp.ones((rows, 2, length)), return_=zero, margin=one, flipped=jnp.zeros(rows, bool),
        source=jnp.zeros((rows, 2), jnp.int32),
    )  # fmt: skip


def random_policy(width: int, observation: int = 17, action: int = 6, activation: str = "relu") -> GaussianPolicy:
    """Two hidden layers of a width, on halfcheetah's sizes unless others are named."""
    sizes = (observation, width, width, action)
    keys = jax.random.split(jax.random.key(4), 3)
    layers = tuple(
        Layer(jax.random.normal(key, (a, b)) / np.sqrt(a), jnp.zeros(b))
        for key, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
    )
    scale = raw_scale_of(jnp.full(action, 0.4))
    return GaussianPolicy(jnp.zeros(observation), jnp.ones(observation), layers, scale, activation=activation)
