"""The inner loop by width, minibatch, rows and objective; beside its bare products, DPO, and PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.micro_matmul import micro_flops, micro_update
from benchmarks.sizes import TINY, random_policy, random_rows
from benchmarks.timing import compare
from mpo_core.devices import population_mesh
from mpo_core.evaluation.jobs import Jobs, make_units, train_jobs
from mpo_core.losses.catalogue import make_objective, objective_ids
from mpo_core.settings import InnerLoopSettings
from mpo_core.training.inner_loop import train
from mpo_core.training.learners import row_log_probs

LENGTH, ROWS, EPOCHS = (20, 4, 1) if TINY else (1000, 16, 2)
LEARNING_RATE = 1e-4


def loop_of(id, policy, rows, settings):
    """An inner loop as one compiled call, the reference's log-probs at hand."""
    reference = row_log_probs(policy, rows)
    program = jax.jit(
        lambda rows: train(make_objective(id), policy, rows, settings, key=jax.random.key(0), reference=reference)
    )
    return lambda: program(rows)


@pytest.mark.parametrize("activation", ["relu", "swish"])
@pytest.mark.parametrize("minibatch", [2, 8])
@pytest.mark.parametrize("width", [64, 256])
def test_width_and_minibatch(benchmark, width, minibatch, activation):
    minibatch = min(minibatch, ROWS)
    policy = random_policy(width, activation=activation)
    settings = InnerLoopSettings(epochs=EPOCHS, minibatch=minibatch)
    updates, sizes, steps = EPOCHS * (ROWS // minibatch), (17, width, width, 6), 2 * minibatch * LENGTH
    micro, kernels, inputs = micro_update(sizes, steps, activation)

    def products():
        for _ in range(updates):
            jax.block_until_ready(micro(kernels, inputs))

    loop = loop_of("dpo", policy, random_rows(ROWS, LENGTH, 17, 6), settings)
    _, trace = compare(benchmark, loop, {"products": products})
    assert np.asarray(trace.finite).all()
    rate = updates / benchmark.stats.stats.median
    benchmark.extra_info |= {"updates/s": round(rate), "GFLOP/s": round(rate * micro_flops(sizes, steps) / 1e9, 1)}


@pytest.mark.parametrize("rows", [16, 64])
@pytest.mark.parametrize("length", [200, 1000])
def test_rows(benchmark, rows, length):
    """An update's cost should not depend on how many rows there are."""
    rows, length = (4, 20) if TINY else (rows, length)
    policy, settings = random_policy(64), InnerLoopSettings(epochs=EPOCHS)
    few = loop_of("dpo", policy, random_rows(4, length, 17, 6), settings)
    _, trace = compare(benchmark, loop_of("dpo", policy, random_rows(rows, length, 17, 6), settings), {"4 rows": few})
    assert np.asarray(trace.finite).all()
    benchmark.extra_info |= {"updates / those of 4 rows": rows / 4}


@pytest.mark.parametrize("id", objective_ids())
def test_objectives(benchmark, id):
    """Every objective's cost against DPO's, on short rows where the loss itself weighs most."""
    policy, settings = random_policy(64), InnerLoopSettings(epochs=EPOCHS, learning_rate=LEARNING_RATE)
    rows = random_rows(ROWS, 10 if TINY else 100, 17, 6)
    loop = loop_of(id, policy, rows, settings)
    _, trace = compare(benchmark, loop, {"dpo": loop_of("dpo", policy, rows, settings)})
    assert np.isfinite(np.asarray(trace.loss)).all()


@pytest.mark.parametrize("width", [64, 256])
def test_pytorch(benchmark, width):
    """The same updates of DPO by eager PyTorch on the CPU; both are at the same parameters afterwards."""
    torch = pytest.importorskip("torch")
    from benchmarks.torch_loop import torch_dpo

    policy, settings = random_policy(width), InnerLoopSettings(epochs=EPOCHS, learning_rate=LEARNING_RATE)
    rows, key = random_rows(ROWS, LENGTH, 17, 6), jax.random.key(0)
    reference = row_log_probs(policy, rows)
    order = np.concatenate(
        [np.asarray(jax.random.permutation(one, ROWS)) for one in jax.random.split(key, settings.epochs)]
    ).reshape(-1, settings.minibatch)
    theirs = torch_dpo(policy, rows, np.asarray(reference), order, settings)
    loop = loop_of("dpo", policy, rows, settings)
    trained, _ = compare(benchmark, loop, {"torch": theirs}, rounds=3)
    for own, other in zip(trained.layers, theirs(), strict=True):
        np.testing.assert_allclose(own.kernel, other, atol=2e-3)
    benchmark.extra_info |= {"torch threads": torch.get_num_threads()}


@pytest.mark.parametrize("population", [1, 16, 64, 256])
def test_population(benchmark, population):
    """Inner loops of a population over all devices, beside as many one after another on one device."""
    population = min(population, 2) if TINY else population
    policy, settings = random_policy(64), InnerLoopSettings(epochs=1)
    rows, mesh = random_rows(ROWS, LENGTH, 17, 6), population_mesh()
    units = make_units(policy, jax.tree.map(lambda leaf: leaf[None], rows), jax.random.split(jax.random.key(0), 1))
    count = -(-population // mesh.size) * mesh.size
    objective = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *jnp.shape(leaf))), make_objective("dpo"))
    jobs = Jobs(objective, jnp.zeros(count, jnp.int32))
    nothing = jax.tree.map(lambda _: None, objective)
    program = jax.jit(lambda jobs, units: train_jobs(jobs, nothing, units, policy, settings, mesh))
    alone = loop_of("dpo", policy, rows, settings)
    _, trace = compare(benchmark, lambda: program(jobs, units), {"one": alone})
    assert np.asarray(trace.finite).all()
    benchmark.extra_info |= {"jobs": count}
