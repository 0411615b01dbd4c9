"""What a device reaches by itself: matrix products of several sizes, and episodes side by side in growing numbers."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mpo_core.policies.policy import AbstractPolicy
from mpo_core.rollout.envs import env_returns, start_envs
from mpo_core.rollout.task import Task

ROUNDS = 5
EPISODES = 4
"""Of a policy, as a search judges its members."""
MATRIX_ON_CPUS, MATRICES_ON_ACCELERATORS = 2048, (2048, 4096, 8192)
ENVS_ON_ACCELERATORS = (1024, 4096, 8192)


def median_seconds(call: Callable[[], Any], rounds: int) -> float:
    """Median seconds of a call, warmed up first, until its arrays are there."""
    jax.block_until_ready(eqx.filter(call(), eqx.is_array))
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        jax.block_until_ready(eqx.filter(call(), eqx.is_array))
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def matmul_gflops(size: int | None = None, precision: str | None = None) -> float:
    """The larger rate of one float32 product that all cores share and of one product a device, side by side.

    Args:
        size: rows and columns of the matrices; None: the largest that is usual on such a device.
        precision: of the product, as JAX names them; None: what the device does by itself.
    """
    if size is None:
        size = MATRIX_ON_CPUS if jax.default_backend() == "cpu" else MATRICES_ON_ACCELERATORS[-1]
    matrix = jax.random.normal(jax.random.key(0), (size, size))

    def product(a: jax.Array) -> jax.Array:
        return jnp.matmul(a, a, precision=precision)

    one = jax.jit(product)
    rates = [2 * size**3 / median_seconds(lambda: one(matrix), ROUNDS)]
    devices = jax.local_device_count()
    if devices > 1:
        each, copies = jax.pmap(product), jnp.broadcast_to(matrix, (devices, size, size))
        rates.append(devices * 2 * size**3 / median_seconds(lambda: each(copies), ROUNDS))
    return max(rates) / 1e9


def matmul_table(sizes: Sequence[int], precisions: Sequence[str] = ("default", "highest")) -> dict[str, float]:
    """GFLOP/s of products of several sizes, by "SIZE PRECISION"."""
    return {f"{size} {precision}": matmul_gflops(size, precision) for size in sizes for precision in precisions}


def steps_by_envs(task: Task, policy: AbstractPolicy, envs: Sequence[int], horizon: int) -> dict[int, float]:
    """Environment steps a second of one device, by how many episodes are side by side; a policy for every four."""
    found = {}
    for count in envs:
        policies = jax.tree.map(lambda leaf, n=count // EPISODES: jnp.broadcast_to(leaf, (n, *leaf.shape)), policy)

        @jax.jit
        def program(policies: AbstractPolicy, keys: jax.Array) -> jax.Array:
            return env_returns(task, policies, start_envs(task, policies, keys, keys), jnp.ones(()), horizon)

        keys = jax.random.split(jax.random.key(5), count)
        seconds = median_seconds(lambda program=program, policies=policies, keys=keys: program(policies, keys), 2)
        found[count] = count * horizon / seconds
    return found
