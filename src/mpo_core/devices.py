"""The one sharded axis: members of a population, or envs of a rollout."""

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from mpo_core.memory import episodes_that_fit

POPULATION = "population"
CPU_ENVS = 64
"""Episodes that a CPU device takes side by side: the physics of more do not fit its cache (docs/performance.md)."""
ENVS_A_PROCESSOR = 32
"""Episodes that an accelerator takes side by side for each of its processors: throughput still grew up to there on an
H200, which has 132 (docs/performance.md)."""
LEAST_PROCESSORS = 32
"""Of an accelerator that does not say how many it has."""


def round_up(count: int, mesh: Mesh) -> int:
    """The least multiple of the devices in a mesh that is not under `count`."""
    return -(-count // mesh.size) * mesh.size


def is_cpu(mesh: Mesh) -> bool:
    """Whether a mesh is of CPU devices."""
    return mesh.devices.flat[0].platform == "cpu"


def block_envs(mesh: Mesh, episode_bytes: int) -> int:
    """Episodes that all devices of a mesh take side by side: on CPUs as suits a cache, on accelerators as throughput
    grows and memory allows.

    Args:
        episode_bytes: what an episode takes of a device's memory while it is rolled out.
    """
    return mesh.size * (CPU_ENVS if is_cpu(mesh) else accelerator_envs(mesh.devices.flat[0], episode_bytes))


def accelerator_envs(device: Any, episode_bytes: int) -> int:
    """Episodes that an accelerator takes side by side: a power of two, or fewer where they do not fit.

    Args:
        device: as JAX has it.
        episode_bytes: as for `block_envs`.
    """
    processors = getattr(device, "core_count", None) or LEAST_PROCESSORS
    grown = 1 << round(math.log2(ENVS_A_PROCESSOR * processors))
    return min(grown, episodes_that_fit(episode_bytes) or grown)


def population_mesh(devices: int | None = None) -> Mesh:
    """A mesh of all devices of this process, or of the first few, along the population axis."""
    return _mesh(jax.local_devices()[:devices])


def world_mesh() -> Mesh:
    """A mesh of the devices of all processes; `population_mesh()` where there is one process."""
    return _mesh(jax.devices())


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device of a mesh."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Puts arrays whole on every device of a mesh; where processes share it, each must hold the same values."""
    whole = replicated(mesh)
    if whole.is_fully_addressable:
        return jax.device_put(tree, whole)

    def put(leaf) -> jax.Array:
        held = np.asarray(leaf)
        return jax.make_array_from_callback(held.shape, whole, lambda index: held[index])

    return jax.tree.map(put, tree)


def bring_home(tree: PyTree) -> PyTree:
    """Replicated arrays as arrays of this process alone; as they are where no other process holds them."""

    def home(leaf: jax.Array) -> jax.Array:
        return leaf if leaf.is_fully_addressable else leaf.addressable_data(0)

    return jax.tree.map(home, tree)


def _mesh(devices: list) -> Mesh:
    return jax.make_mesh((len(devices),), (POPULATION,), axis_types=(AxisType.Auto,), devices=devices)
