"""The rate of inner loops with the paper's minibatch, beside that of their bare products on the same devices."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.micro_matmul import micro_flops, micro_update
from benchmarks.sizes import TINY, random_policy, random_rows
from benchmarks.timing import alternating
from mpo_core.devices import population_mesh
from mpo_core.evaluation.jobs import Jobs, make_units, train_jobs
from mpo_core.losses.catalogue import make_objective
from mpo_core.settings import InnerLoopSettings

LENGTH, ROWS, EPOCHS = (20, 4, 1) if TINY else (1000, 32, 4)


def inner_loop_rates(width: int, devices: int) -> dict[str, float]:
    """GFLOP/s of both, in turn.

    Args:
        width: of the policy's two hidden layers.
        devices: as many inner loops run side by side, one on each, as in a search; 1: one has all threads to itself.
    """
    settings = InnerLoopSettings(epochs=EPOCHS)
    updates, sizes = EPOCHS * (ROWS // settings.minibatch), (17, width, width, 6)
    steps = 2 * settings.minibatch * LENGTH
    loops, products = _inner_loops(width, devices, settings), _products(sizes, steps, updates, devices)
    assert np.asarray(loops()[1].finite).all()
    seconds = alternating({"inner loop": loops, "products": products})
    work = devices * updates * micro_flops(sizes, steps) / 1e9
    return {name: work / taken for name, taken in seconds.items()}


def _inner_loops(width: int, devices: int, settings: InnerLoopSettings) -> Callable:
    policy, mesh = random_policy(width), population_mesh(devices)
    rows = jax.tree.map(lambda leaf: leaf[None], random_rows(ROWS, LENGTH, 17, 6))
    units = make_units(policy, rows, jax.random.split(jax.random.key(0), 1))
    jobs, common = Jobs(None, jnp.zeros(devices, jnp.int32)), make_objective("dpo")
    program = jax.jit(lambda jobs, units: train_jobs(jobs, common, units, policy, settings, mesh))
    return lambda: program(jobs, units)


def _products(sizes: tuple[int, ...], steps: int, updates: int, devices: int) -> Callable[[], None]:
    """As many threads as devices, each of which calls the products of its device again and again."""
    micro, *given = micro_update(sizes, steps)
    placed = [jax.device_put(given, device) for device in jax.local_devices()[:devices]]

    def again(given: list) -> None:
        for _ in range(updates):
            jax.block_until_ready(micro(*given))

    def call() -> None:
        with ThreadPoolExecutor(devices) as threads:
            list(threads.map(again, placed))

    return call
