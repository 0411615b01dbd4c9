"""Where a generation's time goes, and how near the machine's limit it runs."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from adapters.evosax.strategy import Strategy
from mpo_core.data.generate_pairs import generate_pairs
from mpo_core.data.pair_bank import PairBank, draw_rows
from mpo_core.data.specification import parse_data_spec
from mpo_core.evaluation.comparison import unit_bytes
from mpo_core.evaluation.jobs import Jobs, Units, job_size, make_units, train_jobs
from mpo_core.evaluation.side_by_side import arrange
from mpo_core.memory import UNIT_COPIES, jobs_at_once, peak_process_bytes, tree_bytes
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.seeds import Stream, stream_key
from mpo_core.settings import RowSettings
from mpo_experiments.device_rates import (
    ENVS_ON_ACCELERATORS,
    MATRICES_ON_ACCELERATORS,
    matmul_gflops,
    matmul_table,
    median_seconds,
    steps_by_envs,
)
from mpo_experiments.provenance import computed_by, devices, versions
from mpo_experiments.search.build import build_search, learned_parts
from mpo_experiments.search.cells import SearchCell
from mpo_experiments.settings.run_config import CellConfig, RunConfig
from mpo_experiments.testbed import Testbed

ROUNDS = 3
STEPS_OF_ENVS = 100
"""Of the episodes that are counted side by side."""


@dataclasses.dataclass(frozen=True)
class Profile:
    """Seconds are medians of `ROUNDS` generations, compilation apart."""

    task: str
    preset: str
    jobs: int
    """Inner loops, each with its evaluation, a generation."""
    compile_seconds: dict[str, float]
    """Of the physics (reset and one chunk of a rollout, with its first run) and of a generation."""
    seconds: dict[str, float]
    """Of a generation: data, inner loops, evaluation, search, and all of it."""
    bank_seconds: float
    """Of rolling out the pairs that generations draw from, once a search or refresh."""
    updates_per_second: float
    steps_per_second: float
    gflops: float
    """Of the inner loop's matrix products, forward and backward."""
    matmul_gflops: float
    """Of a float32 product of two square matrices, in the same process, on all devices at once."""
    peak_gibibytes: float
    program_gibibytes: float | None
    """Temporary memory of the generation's program, as the compiler has it."""
    provenance: dict[str, Any]
    products: dict[str, str] = dataclasses.field(default_factory=dict)
    """How the inner loop's matrix products are computed: their precision, and by what."""
    jobs_at_once: int = 1
    """Inner loops that a device runs side by side."""
    matmul_by_size: dict[str, float] = dataclasses.field(default_factory=dict)
    """On accelerators: GFLOP/s of products by size and precision."""
    steps_by_envs: dict[int, float] = dataclasses.field(default_factory=dict)
    """On accelerators: environment steps a second by episodes side by side."""

    @property
    def share_of_matmul(self) -> float:
        """The inner loop's rate as a share of the matrix product's."""
        return self.gflops / self.matmul_gflops


def profile(run: RunConfig, say: Callable[[str], None], trace: Path | None = None) -> Profile:
    """Compiles and times a generation of a search, and its parts on their own.

    Args:
        run: on one task and one kind of data.
        say: told what is under way.
        trace: folder for a JAX profiler trace of one generation.
    """
    (cell,) = run.cells()
    testbed = Testbed(cell.task, length=cell.rows.length)
    say("compiling the physics")
    physics = _physics_seconds(testbed)
    say("rolling out pairs")
    bank, bank_seconds = _bank(testbed, cell)
    cells = [SearchCell(cell, testbed)]
    learned = learned_parts(run, cells)
    program = build_search(run, cells, learned)
    state, number, placed = program.start(), program.place(jnp.int32(0)), program.place(bank)
    say("compiling a generation")
    began = time.perf_counter()
    generation = program.step.lower(state, number, placed).compile()
    compiling = time.perf_counter() - began
    say("timing generations")
    whole = median_seconds(lambda: generation(state, number, placed), ROUNDS)
    if trace is not None:
        with jax.profiler.trace(str(trace)):
            jax.block_until_ready(generation(state, number, placed))
    say("timing the parts")
    at_once = _at_once(testbed, cell, bank)
    parts = _parts(testbed, cell, (program.jobs, at_once), learned, placed)
    seconds = parts | {"evaluation": max(whole - sum(parts.values()), 0.0), "generation": whole}
    updates = program.jobs * cell.inner.epochs * (cell.rows.count // cell.inner.minibatch)
    steps = program.jobs * cell.search.episodes * cell.search.horizon
    rate = updates / seconds["inner loops"]
    analysis = generation.memory_analysis()
    return Profile(
        task=cell.task, preset=cell.preset, jobs=program.jobs,
        compile_seconds={"physics": physics, "generation": compiling}, seconds=seconds, bank_seconds=bank_seconds,
        updates_per_second=rate, steps_per_second=steps / max(seconds["evaluation"], 1e-9),
        gflops=rate * update_flops(testbed.original, cell) / 1e9, matmul_gflops=matmul_gflops(),
        peak_gibibytes=_peak_bytes() / 2**30,
        program_gibibytes=None if analysis is None else analysis.temp_size_in_bytes / 2**30,
        provenance={"versions": versions(), "devices": devices()}, products=computed_by(cell.inner),
        jobs_at_once=min(at_once, program.jobs), **_of_accelerator(testbed, say),
    )  # fmt: skip


def _of_accelerator(testbed: Testbed, say: Callable[[str], None]) -> dict[str, Any]:
    """What the device reaches by itself; nothing on CPUs, where it is known (docs/performance.md)."""
    if jax.default_backend() == "cpu":
        return {}
    say("timing the device")
    return {
        "matmul_by_size": matmul_table(MATRICES_ON_ACCELERATORS),
        "steps_by_envs": steps_by_envs(testbed.task, testbed.original, ENVS_ON_ACCELERATORS, STEPS_OF_ENVS),
    }


def _at_once(testbed: Testbed, config: CellConfig, banks: PyTree) -> int:
    """Inner loops that a device runs side by side, as the search plans them."""
    size = job_size(testbed.original, (config.rows.count, config.rows.length), config.inner)
    each = unit_bytes(testbed.task, config.rows)
    held = tree_bytes(banks) + UNIT_COPIES * config.search.datasets * each
    return jobs_at_once(config.search.members_at_once, size.bytes, held)


def update_flops(policy: AbstractPolicy, config: CellConfig) -> float:
    """Operations of one update's matrix products."""
    return float(2 * config.inner.minibatch * config.rows.length * policy.step_flops)


def _physics_seconds(testbed: Testbed) -> float:
    """Of the first block of a rollout, less a second one: compilation, or reading it from the cache."""
    keys = jax.random.split(jax.random.key(0), testbed.program.envs)
    index = np.zeros(testbed.program.envs, int)

    def roll() -> float:
        began = time.perf_counter()
        testbed.program.returns(testbed.agents, index, (keys, keys), horizon=testbed.chunk)
        return time.perf_counter() - began

    return max(roll() - roll(), 0.0)


def _bank(testbed: Testbed, config: CellConfig) -> tuple[PairBank, float]:
    began = time.perf_counter()
    size = RowSettings(config.search.bank_pairs, config.rows.length)
    key = stream_key(config.seed, Stream.SEARCH, 2**31 - 1)
    bank = generate_pairs(testbed.program, testbed.agents, parse_data_spec(config.data), size, key=key)
    return bank, time.perf_counter() - began


def _parts(
    testbed: Testbed, config: CellConfig, jobs: tuple[int, int], learned: tuple[Any, Any], bank: PairBank
) -> dict[str, float]:
    """Data, inner loops and search, each a program of its own on the generation's sizes.

    Args:
        jobs: of a generation, and those that a device runs side by side.
    """
    spec, mesh = parse_data_spec(config.data), testbed.program.mesh

    @jax.jit
    def data(key: jax.Array, bank: PairBank) -> Units:
        keys = jax.random.split(key, config.search.datasets)
        rows = jax.vmap(lambda one: draw_rows(bank, spec, config.rows.count, key=one))(keys)
        return make_units(testbed.original, rows, keys, config.inner)

    of_job = np.arange(jobs[0]) % config.search.datasets
    plan = arrange(of_job, mesh.size, jobs[1])
    objective = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(plan.job), *leaf.shape)), learned[0])
    unit = jnp.asarray(of_job[plan.job], jnp.int32)

    @jax.jit
    def inner(objective: Any, units: Units) -> Any:
        own = Jobs(objective, unit)
        policies, _ = train_jobs(own, learned[1], units, testbed.original, config.inner, mesh, plan.block)
        return policies

    strategy = Strategy(config.strategy, learned[0], config.search.generations)

    @jax.jit
    def search(state: Any, key: jax.Array) -> Any:
        population, state = strategy.ask(state, key=key)
        return strategy.tell(state, population, jnp.arange(float(config.strategy.population)), key=key)

    key = jax.random.key(0)
    units = data(key, bank)
    state = strategy.init(config.seed)
    return {
        "data": median_seconds(lambda: data(key, bank), ROUNDS),
        "inner loops": median_seconds(lambda: inner(objective, units), ROUNDS),
        "search": median_seconds(lambda: search(state, key), ROUNDS),
    }


def _peak_bytes() -> int:
    """Of the accelerator where there is one, else of this process."""
    with contextlib.suppress(Exception):  # some back ends have no statistics
        found = jax.devices()[0].memory_stats()
        if found:
            return found["peak_bytes_in_use"]
    return peak_process_bytes()
