"""Where a generation's time goes, and how near the machine's limit it runs."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from adapters.evosax.strategy import Strategy
from mpo_core.data.generate_pairs import generate_pairs
from mpo_core.data.pair_bank import PairBank, draw_rows
from mpo_core.data.specification import parse_data_spec
from mpo_core.evaluation.meta_objective import Jobs, Units, make_units, train_jobs
from mpo_core.memory import peak_process_bytes
from mpo_core.policies.gaussian import GaussianPolicy
from mpo_core.seeds import Stream, stream_key
from mpo_core.settings import RowSettings
from mpo_experiments.provenance import devices, versions
from mpo_experiments.search.build import build_search, learned_parts
from mpo_experiments.search.cells import SearchCell
from mpo_experiments.search.program import SearchProgram
from mpo_experiments.settings.run_config import CellConfig, RunConfig
from mpo_experiments.testbed import Testbed

ROUNDS = 3
MATRIX = 2048
MATMUL_ROUNDS = 5


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
    learned = learned_parts(run)
    program = build_search(run, [SearchCell(cell, testbed)], learned)
    state, number, placed = program.start(), program.place(jnp.int32(0)), program.place(bank)
    say("compiling a generation")
    began = time.perf_counter()
    generation = program.step.lower(state, number, placed).compile()
    compiling = time.perf_counter() - began
    say("timing generations")
    whole = _median(lambda: generation(state, number, placed))
    if trace is not None:
        with jax.profiler.trace(str(trace)):
            jax.block_until_ready(generation(state, number, placed))
    say("timing the parts")
    parts = _parts(testbed, cell, program, learned, placed)
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
        provenance={"versions": versions(), "devices": devices()},
    )  # fmt: skip


def update_flops(policy: GaussianPolicy, config: CellConfig) -> float:
    """Operations of one update's matrix products: 6 a weight and step, none for the gradient of observations."""
    sizes = [layer.kernel.shape for layer in policy.layers]
    steps = 2 * config.inner.minibatch * config.rows.length
    return float(steps * (6 * sum(a * b for a, b in sizes) - 2 * sizes[0][0] * sizes[0][1]))


def matmul_gflops() -> float:
    """The larger rate of one product that all cores share and of one product a device, side by side."""
    matrix = jax.random.normal(jax.random.key(0), (MATRIX, MATRIX))
    one = jax.jit(lambda a: a @ a)
    shared = 2 * MATRIX**3 / _median(lambda: one(matrix), MATMUL_ROUNDS)
    each = jax.pmap(lambda a: a @ a)
    copies = jnp.broadcast_to(matrix, (jax.local_device_count(), MATRIX, MATRIX))
    apart = jax.local_device_count() * 2 * MATRIX**3 / _median(lambda: each(copies), MATMUL_ROUNDS)
    return max(shared, apart) / 1e9


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
    testbed: Testbed, config: CellConfig, program: SearchProgram, learned: tuple[Any, Any], bank: PairBank
) -> dict[str, float]:
    """Data, inner loops and search, each a program of its own on the generation's sizes."""
    spec, mesh = parse_data_spec(config.data), testbed.program.mesh

    @jax.jit
    def data(key: jax.Array, bank: PairBank) -> Units:
        keys = jax.random.split(key, config.search.datasets)
        rows = jax.vmap(lambda one: draw_rows(bank, spec, config.rows.count, key=one))(keys)
        return make_units(testbed.original, rows, keys)

    jobs = -(-program.jobs // mesh.size) * mesh.size
    objective = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (jobs, *leaf.shape)), learned[0])
    unit = jnp.arange(jobs, dtype=jnp.int32) % config.search.datasets

    @jax.jit
    def inner(objective: Any, units: Units) -> Any:
        policies, _ = train_jobs(Jobs(objective, unit), learned[1], units, testbed.original, config.inner, mesh)
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
        "data": _median(lambda: data(key, bank)),
        "inner loops": _median(lambda: inner(objective, units)),
        "search": _median(lambda: search(state, key)),
    }


def _median(call: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Median seconds of a call, warmed up first, until its arrays are there."""
    jax.block_until_ready(eqx.filter(call(), eqx.is_array))
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        jax.block_until_ready(eqx.filter(call(), eqx.is_array))
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def _peak_bytes() -> int:
    """Of the accelerator where there is one, else of this process."""
    with contextlib.suppress(Exception):  # some back ends have no statistics
        found = jax.devices()[0].memory_stats()
        if found:
            return found["peak_bytes_in_use"]
    return peak_process_bytes()
