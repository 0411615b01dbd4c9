"""Inner-loop updates/s, environment steps/s and seconds a generation, each beside a yardstick of the same run.

Run: python -m pytest benchmarks -s -p no:randomly  (needs the dev extra; takes a few minutes)

Yardsticks: a 2048 x 2048 float32 matmul, and a plain single-device vmapped brax rollout of the same policy and lanes.
"""

import dataclasses
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.arena import Arena
from adapters.config import build_config
from adapters.objective_files import learned_start
from adapters.profiling import update_flops
from adapters.search import SearchProblem, SearchProgram
from adapters.strategies import Strategy
from mpo_core.catalogue import make_objective
from mpo_core.data_spec import parse_data_spec
from mpo_core.generate_pairs import generate_pairs
from mpo_core.inner_loop import train
from mpo_core.mirror.learned import split_learned
from mpo_core.pair_bank import draw_rows
from mpo_core.settings import RowSettings

LANES, CHUNK, MATRIX = 64, 50, 2048


def median_seconds(call: Callable[[], object], rounds: int = 5) -> float:
    """Median time of a call, warmed up first, until its arrays are there."""
    jax.block_until_ready(call())
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return float(np.median(times))


@dataclasses.dataclass(frozen=True)
class Bench:
    """What the benchmarks share: a task at the size of the quick preset."""

    arena: Arena
    config: object
    bank: object
    matmul_rate: float
    """GFLOP/s of the matmul, measured in this process."""
    plain_rate: float
    """Steps/s of the plain rollout."""


def matmul_rate() -> float:
    matrix = jax.random.normal(jax.random.key(0), (MATRIX, MATRIX))
    product = jax.jit(lambda a: a @ a)
    return 2 * MATRIX**3 / median_seconds(lambda: product(matrix)) / 1e9


def plain_rate(arena: Arena) -> float:
    """As anyone would write it: one device, reset and step vmapped, one policy, scanned."""
    env, policy = arena.task.env, arena.original

    @jax.jit
    def rollout(keys):
        def body(carry, _):
            state, key = carry
            key, noise_key = jax.random.split(key)
            action = policy.mode(state.obs) + policy.scale * jax.random.normal(
                noise_key, (LANES, arena.task.action_size)
            )
            state = jax.vmap(env.step)(state, jnp.clip(action, -1, 1))
            return (state, key), state.reward

        return jax.lax.scan(body, (jax.vmap(env.reset)(keys), keys[0]), None, length=CHUNK)[1].sum(0)

    keys = jax.random.split(jax.random.key(0), LANES)
    return LANES * CHUNK / median_seconds(lambda: rollout(keys))


@pytest.fixture(scope="module")
def bench() -> Bench:
    config = build_config({"task": "halfcheetah", "preset": "quick"})
    arena = Arena("halfcheetah", lanes=LANES, chunk=CHUNK)
    size = RowSettings(config.search.bank_pairs, config.rows.length)
    bank = generate_pairs(arena.program, arena.agents, parse_data_spec(config.data), size, key=jax.random.key(0))
    return Bench(arena, config, bank, matmul_rate(), plain_rate(arena))


def updates(config) -> int:
    return config.inner.epochs * (config.rows.count // config.inner.minibatch)


def test_inner_loop(benchmark, bench):
    config, original = bench.config, bench.arena.original
    rows = draw_rows(
        jax.tree.map(jnp.asarray, bench.bank), parse_data_spec(config.data), config.rows.count, key=jax.random.key(1)
    )
    call = jax.jit(lambda rows: train(make_objective("orpo"), original, rows, config.inner, key=jax.random.key(2)))
    jax.block_until_ready(call(rows))
    _, trace = benchmark.pedantic(lambda: jax.block_until_ready(call(rows)), rounds=5)
    rate = updates(config) / benchmark.stats.stats.median
    gflops = rate * update_flops(bench.arena.original, bench.config) / 1e9
    assert bool((trace.finite == 1).all())
    benchmark.extra_info |= {
        "updates_per_s": round(rate), "gflops": round(gflops, 1), "matmul_gflops": round(bench.matmul_rate, 1),
        "ratio_to_matmul": round(gflops / bench.matmul_rate, 3), "final_loss": float(trace.loss[-20:].mean()),
    }  # fmt: skip
    share = gflops / bench.matmul_rate
    print(f"\ninner loop: {rate:,.0f} updates/s, {gflops:.1f} GFLOP/s = {share:.2f} of a float32 matmul")


def test_environment_steps(benchmark, bench):
    arena, episodes = bench.arena, 2 * LANES
    keys = jax.random.split(jax.random.key(3), episodes)
    index = np.zeros(episodes, int)

    def call():
        return arena.program.returns(arena.agents, index, (keys, keys), horizon=4 * CHUNK)

    call()
    returns = benchmark.pedantic(call, rounds=5)
    rate = episodes * 4 * CHUNK / benchmark.stats.stats.median
    assert np.isfinite(returns).all()
    benchmark.extra_info |= {
        "steps_per_s": round(rate), "plain_steps_per_s": round(bench.plain_rate),
        "ratio_to_plain": round(rate / bench.plain_rate, 2), "mean_return": float(returns.mean()),
    }  # fmt: skip
    print(f"\nrollout: {rate:,.0f} steps/s = {rate / bench.plain_rate:.2f} x a plain single-device brax rollout")


def test_generation(benchmark, bench):
    config, arena = bench.config, bench.arena
    learned, common = split_learned(learned_start(config.init, config.temporal))
    strategy = Strategy(config.strategy, learned, config.search.generations)
    problem = SearchProblem(
        task=arena.task, original=arena.original, spec=parse_data_spec(config.data), rows=config.rows.count,
        inner=config.inner, constants=(0.0, 1.0), seed=0,
    )  # fmt: skip
    program = SearchProgram(problem, config.search, strategy, (learned, common), arena.program.mesh)
    state, bank, generation = program.start(), program.place(bench.bank), program.place(jnp.int32(0))
    jax.block_until_ready(program.step(state, generation, bank))
    _, scores = benchmark.pedantic(lambda: jax.block_until_ready(program.step(state, generation, bank)), rounds=3)
    seconds = benchmark.stats.stats.median
    jobs = program.jobs
    yardstick = jobs * (
        updates(config) * update_flops(bench.arena.original, bench.config) / (bench.matmul_rate * 1e9)
        + config.search.episodes * config.search.horizon / bench.plain_rate
    )
    assert np.isfinite(np.asarray(scores.members)).all()
    benchmark.extra_info |= {"seconds": round(seconds, 2), "jobs": jobs, "ratio": round(yardstick / seconds, 2)}
    print(
        f"\ngeneration: {seconds:.2f} s for {jobs} inner loops and evaluations = {yardstick / seconds:.2f} x the "
        "speed of matmuls at the matmul's rate and steps at the plain rollout's"
    )
