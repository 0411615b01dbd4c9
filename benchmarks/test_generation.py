"""Evaluation, generations and starts: the figures of `python -m benchmarks.shows`, and the population's size."""

import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.rollouts import plain_rollout, sharded_rollout
from benchmarks.shows import HORIZON, LANES, generation_seconds, overhead_seconds
from benchmarks.sizes import TASK, TINY, quick_bench
from benchmarks.starts import command_seconds, start_seconds
from benchmarks.timing import compare
from mpo_core.evaluation import meta_objective


def test_evaluation(benchmark, bench):
    """Envs over all devices, a policy each, beside a plain vmapped brax rollout on one device."""
    task, policy = bench.task, bench.original
    plain = plain_rollout(task, policy, LANES, HORIZON)
    returns = compare(benchmark, sharded_rollout(task, policy, LANES, HORIZON), {"plain": plain})
    np.testing.assert_allclose(np.mean(returns), np.mean(plain()), rtol=0.2, atol=1.0)
    benchmark.extra_info |= {"steps/s": round(LANES * HORIZON / benchmark.stats.stats.median)}


def test_lanes_side_by_side(benchmark, monkeypatch):
    """A generation of a large population that is all evaluation: as many envs at a time as suit a core, or all."""
    sizes = {"rows": {"count": 4, "length": 50}, "inner": {"epochs": 1}, "strategy": {"population": 8 if TINY else 256}}
    small = {"episodes": 4, "horizon": 50 if TINY else 100, "datasets": 1, "bank_pairs": 8, "spread": False}
    bench = quick_bench(search=small, **sizes)
    search = bench.search
    given = (search.start(), search.place(jnp.int32(0)), search.place((bench.bank,)))
    in_chunks = search.step.lower(*given).compile()
    monkeypatch.setattr(meta_objective, "CPU_ENVS", 10**9)
    jax.clear_caches()
    together = search.step.lower(*given).compile()
    _, scores = compare(benchmark, lambda: in_chunks(*given), {"all envs": lambda: together(*given)}, rounds=3)
    np.testing.assert_allclose(scores.members, together(*given)[1].members, rtol=0.05, atol=0.05)


def test_the_usual_way(benchmark):
    """A quick generation beside the same one as `jit(vmap(...))` on one device."""
    found = benchmark.pedantic(generation_seconds, rounds=1)
    assert found["difference"] < 1e-3
    benchmark.extra_info |= {"usual / ours": round(found["usual"] / found["ours"], 2)} | found


@pytest.mark.parametrize("population", [1, 4, 16, 64, 256])
def test_population(benchmark, population):
    """Seconds a job: mean and start are jobs too."""
    population = min(population, 2) if TINY else population
    small = {"episodes": 2, "horizon": 100, "datasets": 1, "bank_pairs": 32, "spread": False}
    settings = {"rows": {"count": 32, "length": 200}, "inner": {"epochs": 4}}
    # strategies with antithetic pairs take no population of one
    strategy = {"population": population, "name": "simple_es" if population == 1 else "openes"}
    bench = quick_bench(search=small, strategy=strategy, **settings)
    search = bench.search
    given = (search.start(), search.place(jnp.int32(0)), search.place((bench.bank,)))
    _, scores = compare(benchmark, lambda: search.step(*given), {}, rounds=3)
    assert np.isfinite(np.asarray(scores.members)).all()
    benchmark.extra_info |= {"jobs": search.jobs, "seconds a job": benchmark.stats.stats.median / search.jobs}


def test_overhead(benchmark, bench):
    """Ask, tell, log and checkpoint of a generation."""
    state = bench.search.start()
    seconds = benchmark.pedantic(lambda: overhead_seconds(bench, state), rounds=1)
    benchmark.extra_info |= {"seconds": seconds}


def test_starts(benchmark):
    """From process start to generation 0, with an empty cache and then with a full one; help and a refusal."""
    with tempfile.TemporaryDirectory() as cache:
        options = ("--task", TASK, "--preset", "smoke", "--generations", "4")
        cold = start_seconds(Path(cache), *options)
        warm = benchmark.pedantic(lambda: start_seconds(Path(cache), *options), rounds=1)
    assert 0 < warm < cold
    seconds = {"help": command_seconds("--help"), "refusal": command_seconds("train", "--task", "hoper")}
    benchmark.extra_info |= {"cold": cold, "warm": warm} | seconds
